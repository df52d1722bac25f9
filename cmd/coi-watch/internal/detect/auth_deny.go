package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var authDenied = Detector{
	ID: "auth.deny", Level: coi.Warning, Wants: []event.Type{event.Authlog},
	Title: "sudo or su refused again and again", Why: "guessing passwords looks like this",
	// The sensor counts refusals: n.count within 60 s.
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !authDeny.MatchString(ev.Text) || ev.N["count"] < 5 {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "sudo or su refused again and again", Evidence: map[string]string{"text": ev.Text}})
	},
	Fire:  events(event.Event{Type: event.Authlog, Text: "sudo: code : 3 incorrect password attempts", N: map[string]float64{"count": 5}}),
	Quiet: events(event.Event{Type: event.Authlog, Text: "sudo: code : 1 incorrect password attempt", N: map[string]float64{"count": 1}}),
}
