package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privSurface = Detector{
	ID: "priv.surface", Level: coi.Warning, Wants: []event.Type{event.Uring, event.Syscall},
	Title: "rare part of the kernel used",
	Why:   "these calls are useful to few programs and to many exploits",
	Detect: func(ev event.Event, v track.View) []Finding {
		level := coi.Info
		switch {
		case ev.Type == event.Syscall && ev.Op == "bpf" && !v.Under(program.Runtime, program.Debugger, program.Init):
			level = coi.Warning
		case ev.Type == event.Uring, ev.Type == event.Syscall && oneOf(ev.Op, "userfaultfd", "keyctl", "add_key"):
		default:
			return nil
		}
		return one(Finding{Level: level, Title: "kernel interface used: " + string(ev.Type) + " " + ev.Op, PID: ev.PID})
	},
	Fire:  events(event.Event{Type: event.Syscall, Op: "bpf", PID: 3, Exe: "/tmp/x"}),
	Quiet: events(event.Event{Type: event.Uring, PID: 3, Exe: "/usr/bin/node"}, event.Event{Type: event.Syscall, Op: "bpf", PID: 3, Exe: "/usr/bin/runc"}),
}
