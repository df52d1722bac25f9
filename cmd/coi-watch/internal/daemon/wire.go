package daemon

import (
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fds"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// wire plans when the wiring of a container is looked at.
type wire struct {
	reader *fds.Reader
	due    []time.Time
	next   time.Time // not before, so that looking costs at most a twentieth of the time
	timer  *time.Timer
	last   *wiring.Graph
}

// again are the times after a start or a connection at which wiring may have
// become complete: a relay needs its moment to connect both sides.
var again = []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond, time.Second, 5 * time.Second}

const (
	minGap   = 20 * time.Millisecond
	gapShare = 20
	maxDue   = 64
)

func newWire() wire {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return wire{reader: fds.New(), timer: t}
}

// plan asks for looks at the wiring.
func (w *wire) plan(after []time.Duration) {
	at := time.Now()
	for _, d := range after {
		if len(w.due) < maxDue {
			w.due = append(w.due, at.Add(d))
		}
	}
	w.set()
}

func (w *wire) set() {
	if len(w.due) == 0 {
		return
	}
	first := w.due[0]
	for _, t := range w.due {
		if t.Before(first) {
			first = t
		}
	}
	if first.Before(w.next) {
		first = w.next
	}
	w.timer.Reset(max(0, time.Until(first)))
}

// passed takes the times that are over off the plan.
func (w *wire) passed(now time.Time) {
	var rest []time.Time
	for _, t := range w.due {
		if t.After(now) {
			rest = append(rest, t)
		}
	}
	w.due = rest
}

// candidate reports whether a process can be a shell for somebody outside: it
// interprets what it reads, and it does not read a plain file or nothing.
func candidate(p *scene.Proc) bool {
	return !p.Gone && (p.Class == "shell" || p.Class == "interpreter") && p.Role != wiring.Tool && p.Role != wiring.Agent
}

// considerWiring plans looks after events that may complete a wiring.
func (c *container) considerWiring(ev event.Event, rec *bpf.Record) {
	switch ev.Type {
	case event.Exec:
		if ev.ExeClass != "shell" && ev.ExeClass != "interpreter" {
			return
		}
		if rec != nil {
			c.direct(ev, rec)
		}
		if plain(ev.Stdio) {
			c.wire.plan(again[2:]) // it may still open a connection itself
			return
		}
		c.wire.plan(again)
	case event.Connect, event.Accept:
		if !strings.HasPrefix(ev.Peer, "127.") && c.anyCandidate() {
			c.wire.plan(again[:4])
		}
	}
}

func plain(stdio []event.Stdio) bool {
	for _, s := range stdio {
		if s.Kind != wiring.File && s.Kind != wiring.Null && s.Kind != "" {
			return false
		}
	}
	return true
}

func (c *container) anyCandidate() bool {
	found := false
	c.scene.Table.Each(func(p *scene.Proc) { found = found || candidate(p) })
	return found
}

// direct judges a program whose standard descriptors are sockets from what the
// kernel said at its exec: it may be gone before anybody can look.
func (c *container) direct(ev event.Event, r *bpf.Record) {
	n := wiring.Node{PID: ev.PID, Start: ev.Start, PPID: ev.PPID, Exe: ev.Exe, Class: ev.ExeClass, Argv: ev.Argv, Role: wiring.Role(ev.Role)}
	sockets := 0
	for i := range r.FD {
		fd := scene.Descriptor(i, &r.FD[i])
		if fd.Kind == wiring.Inet && fd.Connected || fd.Kind == wiring.Vsock {
			sockets++
		}
		n.FDs = append(n.FDs, fd)
	}
	if sockets < 2 {
		return
	}
	g := event.Event{Type: event.FDs, Wiring: &wiring.Graph{Nodes: []wiring.Node{n}}}
	c.scene.About(&g, ev.PID)
	c.scene.Stamp(&g, "fds", r.Mono)
	c.judgeEvent(g)
}

// look reads the wiring of all living processes and has it judged.
func (c *container) look() {
	began := time.Now()
	c.wire.passed(began)
	if c.group == nil || c.status.Frozen != nil || !c.anyCandidate() {
		c.wire.set()
		return
	}
	var subjects []fds.Subject
	c.scene.Table.Each(func(p *scene.Proc) {
		subjects = append(subjects, fds.Subject{
			PID: p.PID, PPID: p.PPID, Start: p.Start, Exe: p.Exe, Class: p.Class, Argv: p.Argv, Role: p.Role, Started: time.Duration(p.Started),
		})
	})
	g := c.wire.reader.Read(subjects, now())
	c.wire.last = &g
	cost := time.Since(began)
	c.wire.next = time.Now().Add(max(minGap, gapShare*cost))
	c.wire.set()
	ev := event.Event{Type: event.FDs, Wiring: &g}
	c.scene.Stamp(&ev, "fds", 0)
	c.judgeEvent(ev)
}
