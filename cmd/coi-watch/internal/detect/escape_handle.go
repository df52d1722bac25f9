package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeHandle = Detector{
	ID: "escape.handle", Level: coi.High, Wants: []event.Type{event.Syscall},
	Title: "file opened by handle",
	Why:   "opening by handle reaches files that no path in the container leads to",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Op != "open_by_handle_at" || v.Under(program.Runtime) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "file opened by handle", PID: ev.PID, Path: ev.Path})
	},
	Fire:  events(event.Event{Type: event.Syscall, Op: "open_by_handle_at", PID: 3, Exe: "/tmp/shocker"}),
	Quiet: events(event.Event{Type: event.Syscall, Op: "open_by_handle_at", PID: 3, Exe: "/usr/bin/dockerd"}, event.Event{Type: event.Syscall, Op: "mknod", PID: 3}),
}
