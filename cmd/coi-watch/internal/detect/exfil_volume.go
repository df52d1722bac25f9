package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var exfilVolume = Detector{
	ID: "exfil.volume", Level: coi.High, Wants: []event.Type{event.Counter, event.Net},
	Title: "much data sent to one name",
	Why:   "more bytes went out to one name than work usually needs",
	// n.out_10m and n.out_1h are the bytes to Name in those windows.
	Detect: func(ev event.Event, v track.View) []Finding {
		set := v.Settings()
		warn, high := float64(or(set.UploadWarnMB, 100))*1e6, float64(or(set.UploadHighMB, 1024))*1e6
		switch {
		case ev.N["out_1h"] > high && !v.Allowed(ev.Name):
			return one(Finding{Level: coi.High, Title: "much data sent to " + ev.Name, Host: ev.Name, Peer: ev.Peer})
		case ev.N["out_10m"] > warn:
			return one(Finding{Level: coi.Warning, Title: "much data sent to " + ev.Name, Host: ev.Name, Peer: ev.Peer})
		}
		return nil
	},
	Fire:  events(event.Event{Type: event.Counter, Op: "upload", Name: "x.example.com", N: map[string]float64{"out_10m": 2e8, "out_1h": 2e8}}, event.Event{Type: event.Counter, Op: "upload", Name: "x.example.com", N: map[string]float64{"out_1h": 2e9}}),
	Quiet: events(event.Event{Type: event.Counter, Op: "upload", Name: "x.example.com", N: map[string]float64{"out_10m": 5e7, "out_1h": 5e7}}),
}

func or(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}
