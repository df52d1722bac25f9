package track

import (
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// View is what a detector may look at. It is valid until the next Apply.
type View struct {
	t        *Tracker
	ev       *event.Event
	cmd      *command.Command
	verdicts []wiring.Verdict
	memo     *memo
}

// memo keeps what many detectors ask for: the classes of the last path, and
// the names of the process and its parents.
type memo struct {
	path    string
	classes []paths.Class
	names   []string
	above   []program.Class // of names
	named   bool
}

// PathClasses are the classes of a path of the event.
func (v View) PathClasses(p string) []paths.Class {
	if v.memo == nil {
		return paths.Of(p, false)
	}
	if v.memo.path != p {
		v.memo.path, v.memo.classes = p, paths.Of(p, false)
	}
	return v.memo.classes
}

// Settings of the container.
func (v View) Settings() Settings { return v.t.set }

// Process returns the process with that pid, or nil.
func (v View) Process(pid int) *Process { return v.t.procs[pid] }

// Proc is the process the event is about. It is never nil: what the table does
// not know is taken from the event.
func (v View) Proc() Process {
	if p := v.t.procs[v.ev.PID]; p != nil {
		return *p
	}
	p := Process{PID: v.ev.PID, PPID: v.ev.PPID, Exe: v.ev.Exe, Class: program.Class(v.ev.ExeClass), Argv: v.ev.Argv, Role: v.ev.Role, UID: -1}
	p.Name = program.Canonical(v.ev.ExeIs)
	if p.Name == "" {
		p.Name = program.Canonical(v.ev.Exe)
	}
	if p.Class == program.None {
		p.Class = program.ClassOf(p.Name)
	}
	if v.ev.UID != nil {
		p.UID = *v.ev.UID
	}
	return p
}

// Names are the canonical names of a process and of its parents, nearest
// first. The list is shared: it may not be changed.
func (v View) Names() []string {
	if v.memo == nil {
		return v.lineage()
	}
	if !v.memo.named {
		v.memo.names, v.memo.named = v.lineage(), true
		for _, n := range v.memo.names {
			v.memo.above = append(v.memo.above, program.ClassOf(n))
		}
	}
	return v.memo.names
}

func (v View) lineage() []string {
	out := make([]string, 0, 2+event.MaxChain)
	if p := v.t.procs[v.ev.PID]; p != nil {
		if p.Name != "" {
			out = append(out, p.Name)
		}
	} else if p := v.Proc(); p.Name != "" {
		out = append(out, p.Name)
	}
	for i, p := 0, v.t.procs[v.ev.PPID]; p != nil && i < event.MaxChain; i, p = i+1, v.t.procs[p.PPID] {
		out = append(out, p.Name)
	}
	for _, a := range v.ev.Chain {
		out = append(out, program.Canonical(a.Exe))
	}
	return out
}

// Under reports whether the process or a parent is of one of the classes.
func (v View) Under(classes ...program.Class) bool {
	names := v.Names()
	if v.memo != nil {
		for _, c := range v.memo.above {
			if slices.Contains(classes, c) {
				return true
			}
		}
		return false
	}
	for _, n := range names {
		if slices.Contains(classes, program.ClassOf(n)) {
			return true
		}
	}
	return false
}

// Same reports whether two processes are of one tree.
func (v View) Same(a, b int) bool { return v.t.Root(a) == v.t.Root(b) }

// Child reports whether a process is below another.
func (v View) Child(child, parent int) bool {
	for i, p := 0, v.t.procs[child]; p != nil && i < 64; i, p = i+1, v.t.procs[p.PPID] {
		if p.PPID == parent {
			return true
		}
	}
	return false
}

// Recent are the marks of the event's tree of the last 120 seconds.
func (v View) Recent(kind string) []Mark {
	var out []Mark
	for _, m := range v.t.marks[v.t.Root(v.ev.PID)] {
		if m.Kind == kind && v.t.now-m.Mono <= int64(Window) {
			out = append(out, m)
		}
	}
	return out
}

// NameOf is the name under which an address was looked up, or "".
func (v View) NameOf(addr string) string { return v.t.names[addr] }

// Known reports whether the container used a host before this event.
func (v View) Known(host string) bool { return v.t.hosts[host] }

// Allowed reports whether a host is in the allowlist.
func (v View) Allowed(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range v.t.set.Allowed {
		a = strings.ToLower(a)
		if host == a || strings.HasPrefix(a, "*.") && strings.HasSuffix(host, a[1:]) || strings.HasPrefix(a, ".") && strings.HasSuffix(host, a) {
			return true
		}
	}
	return false
}

// Wiring is what the last graph proves, for an fds event.
func (v View) Wiring() []wiring.Verdict { return v.verdicts }

// Command is the command model of an exec event; nil for others.
func (v View) Command() *command.Command { return v.cmd }

// Living is the number of processes alive, and Forks that of forks in the last
// two seconds.
func (v View) Living() int { return v.t.living }

// Forks is the number of forks in the last two seconds.
func (v View) Forks() int { return len(v.t.forks) }

// Now is the time of the newest event, in ns of CLOCK_MONOTONIC.
func (v View) Now() int64 { return v.t.now }

// Hot is how long the tree of the event has used nearly all allowed processors
// without a break.
func (v View) Hot() time.Duration {
	if v.t.hot == 0 || v.t.tree != v.ev.PID {
		return 0
	}
	return time.Duration(v.t.now - v.t.hot)
}

// Outbound reports whether the container ever connected to outside.
func (v View) Outbound() bool { return v.t.out != 0 }

// Refused is the number of refusals of sudo and su within the last minute.
func (v View) Refused() int { return v.t.denied }
