package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var authDenied = Detector{
	ID: "auth.deny", Level: coi.Warning, Wants: []event.Type{event.Authlog},
	Title: "sudo or su refused again and again", Why: "guessing passwords looks like this",
	Detect: func(ev event.Event, v track.View) []Finding {
		if !authDeny.MatchString(ev.Text) || v.Refused() < 5 {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "sudo or su refused again and again", Evidence: map[string]string{"text": ev.Text}})
	},
	Fire:  events(refusals(5)...),
	Quiet: events(refusals(1)...),
}

// refusals are n log lines of sudo that say no.
func refusals(n int) []event.Event {
	var out []event.Event
	for i := range n {
		out = append(out, event.Event{Type: event.Authlog, Mono: int64(i + 1), Text: "sudo: code : 3 incorrect password attempts"})
	}
	return out
}
