package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execMemfd = Detector{
	ID: "exec.memfd", Level: coi.High, Wants: execs,
	Title: "program that exists only in memory",
	Why:   "a program without a file on disk was started",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !ev.Has(event.FlagMemfd) || ev.Has(event.FlagSameBytes) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "program started from memory", Path: ev.Exe, Command: cut(joined(ev.Argv), 400)})
	},
	Fire:  execEvent("/memfd:x (deleted)", event.FlagMemfd, event.FlagDeleted),
	Quiet: execEvent("/memfd:runc_cloned", event.FlagMemfd, event.FlagSameBytes),
}
