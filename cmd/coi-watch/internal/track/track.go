// Package track keeps the only state that detection has: the process table of a
// container, what its trees opened, joined and ran lately, and counters. It
// takes its time from the events, so a replay sees what the live run saw.
package track

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// Tracker is the state of one container. It is not safe for concurrent use.
type Tracker struct {
	procs map[int]*Process
	graph wiring.Graph
}

// Process is one entry of the process table.
type Process struct {
	PID, PPID int
	Start     uint64
	Exe       string
	Class     string
	Argv      []string
}

// New returns an empty tracker.
func New() *Tracker { return &Tracker{procs: map[int]*Process{}} }

// Apply takes one event into the state and returns the view of that moment.
func (t *Tracker) Apply(ev event.Event) View {
	if ev.Wiring != nil {
		t.graph = *ev.Wiring
	}
	return View{t: t, ev: ev}
}

// View is what a detector may look at. It is valid until the next Apply.
type View struct {
	t   *Tracker
	ev  event.Event
	cmd *command.Command
}

// Process returns the living process with that pid, or nil.
func (v View) Process(pid int) *Process { return v.t.procs[pid] }

// Wiring is the last graph that a fds event brought.
func (v View) Wiring() wiring.Graph { return v.t.graph }

// Command is the command model of an exec event; nil for others.
func (v View) Command() *command.Command { return v.cmd }
