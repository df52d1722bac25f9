package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeLocked = Detector{
	ID: "escape.locked", Level: coi.Critical, Wants: []event.Type{event.Umount, event.Mount, event.Rename, event.Write, event.Create, event.Delete, event.Exec},
	Title:  "locked path tampered with",
	Why:    "a path that coi keeps locked was unmounted, covered or written",
	Detect: locked,
	Fire: []Sample{
		{Level: coi.Critical, Events: []event.Event{{Type: event.Umount, PID: 3, Path: "/workspace/.git/hooks", Op: "umount"}}},
		{Level: coi.Critical, Events: []event.Event{{Type: event.Mount, PID: 3, Path: "/workspace/.git/hooks", Op: "mount"}}},
		{Level: coi.Warning, Events: append(initSample(1, ""), event.Event{Type: event.Umount, PID: 30, PPID: 20, Path: "/workspace/.git/hooks", Op: "umount"})},
		{Level: coi.Critical, Events: append(initSample(21, ""), event.Event{Type: event.Umount, PID: 30, PPID: 20, Path: "/workspace/.git/hooks", Op: "umount"})},
		{Level: coi.Critical, Events: append(initSample(1, "relay"), event.Event{Type: event.Umount, PID: 31, PPID: 22, Path: "/workspace/.git/hooks", Op: "umount"})},
		{Level: coi.Warning, Line: "umount /workspace/.git/hooks"},
		{Level: coi.Warning, Line: "touch .git/hooks/pre-commit"},
	},
	Quiet: append(events(event.Event{Type: event.Umount, PID: 3, Path: "/mnt/x", Op: "umount"}), lines("", "umount /mnt/x", "git status", "cat .git/hooks/pre-commit", "ls .git/hooks")...),
}

// initSample is a process that is trusted and has a number in its namespace,
// as init has 1, and below it one of a namespace of its own.
func initSample(nspid int, nested string) []event.Event {
	return []event.Event{
		{Type: event.Exec, PID: 20, PPID: 10, NSPID: nspid, Role: string(wiring.Relay), Exe: "/sbin/init", Argv: []string{"/sbin/init"}},
		{Type: event.Exec, PID: 22, PPID: 20, NSPID: 1, Role: nested, Exe: "/usr/bin/runc", Argv: []string{"init"}},
	}
}

func under(p string, list []string) bool {
	for _, l := range list {
		l = strings.TrimSuffix(l, "/")
		if l != "" && (p == l || strings.HasPrefix(p, l+"/")) {
			return true
		}
	}
	return false
}

// byInit reports whether a child of the container's init did this, as at every
// power-off. Whoever hides behind init gains nothing: a lock that stays away in
// a container that lives on is reported by the look at the mounts, and the
// files under it are immutable meanwhile. Init is process 1 of its namespace,
// trusted, and its parent is not in the container; that of a nested container
// has its parent there.
func byInit(ev event.Event, v track.View) bool {
	parent := v.Process(ev.PPID)
	return ev.PPID != 0 && parent != nil && parent.Role == string(wiring.Relay) && parent.NSPID == 1 && v.Process(parent.PPID) == nil
}

func locked(ev event.Event, v track.View) []Finding {
	list := v.Settings().Locked
	if ev.Type != event.Exec {
		if !under(ev.Path, list) && (ev.Path2 == "" || !under(ev.Path2, list)) || ev.Role != "" {
			return nil
		}
		level := coi.Critical
		if ev.N["result"] < 0 || ev.Type == event.Umount && byInit(ev, v) {
			level = coi.Warning
		}
		return one(Finding{Level: level, Title: "locked path: " + string(ev.Type), Path: ev.Path, Op: string(ev.Type), PID: ev.PID, ByInit: ev.PID == 0 || byInit(ev, v)})
	}
	out := onCommands(func(s *command.Simple, _ track.View) *Finding {
		if s.Is("umount", "mount") {
			for _, p := range s.Parsed().Rest {
				if under(s.Abs(p), list) {
					return say(s, coi.Warning, "tries to "+s.Name+" over a locked path").at(s.Abs(p), command.Op(s.Name))
				}
			}
		}
		for _, a := range s.Accesses() {
			if (changes(a.Op) || a.Op == command.Delete || a.Op == command.Attrib) && under(a.Path, list) {
				return say(s, coi.Warning, "tries to change a locked path").at(a.Path, a.Op)
			}
		}
		return nil
	})(ev, v)
	for i := range out {
		out[i].ByInit = byInit(ev, v)
	}
	return out
}
