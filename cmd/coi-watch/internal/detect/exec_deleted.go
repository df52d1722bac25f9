package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execDeleted = Detector{
	ID: "exec.deleted", Level: coi.High, Wants: execs,
	Title: "program whose file was deleted",
	Why:   "the file had no name any more when it was started",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !ev.Has(event.FlagDeleted) || ev.Has(event.FlagMemfd) || ev.Has(event.FlagSameBytes) || hasAny(ev.Exe, "/go-build", "/go-run") {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "deleted program started", Path: ev.Exe, Command: cut(joined(ev.Argv), 400)})
	},
	Fire:  execEvent("/tmp/x", event.FlagDeleted),
	Quiet: append(execEvent("/tmp/go-build123/b001/exe/main", event.FlagDeleted), execEvent("/usr/bin/node", event.FlagDeleted, event.FlagSameBytes)...),
}
