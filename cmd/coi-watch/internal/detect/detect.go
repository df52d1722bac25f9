// Package detect holds the detectors: pure functions from an event and the
// state around it to findings. One file a detector; the catalogue is one slice.
package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Finding is what a detector says.
type Finding struct {
	Rule     string    // "shell.net-stdio", "sigma:<uuid>", "pattern:<id>"
	Level    coi.Level // after monitoring.levels
	Title    string    // plain words, at most 120 characters, not escaped, not redacted
	Why      string    // one sentence
	Harmless string    // what would make it harmless

	PID      int    // process the finding is about, host pid
	Path     string // file, inside path
	Op       string
	Peer     string // address
	Port     int
	Host     string // name or address as written
	Command  string // the simple command that matched
	Evidence map[string]string
	ByInit   bool // done by a child of the container's init, or noticed afterwards: perhaps its shutdown
}

// Sample is one test case of a detector: a command line, or events.
type Sample struct {
	Line   string
	Events []event.Event
	Level  coi.Level // level it must reach (Fire); the level it may not reach (Quiet), empty: the lowest
}

// Detector is one rule of the catalogue.
type Detector struct {
	ID, Title, Why string
	Level          coi.Level // highest it gives
	Wants          []event.Type
	// Detect is pure: same input, same output; no clock, no I/O, no globals.
	Detect      func(ev event.Event, v track.View) []Finding
	Fire, Quiet []Sample
}
