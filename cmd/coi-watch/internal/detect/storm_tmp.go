package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var stormTmp = Detector{
	ID: "storm.tmp", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "/tmp nearly full", Why: "a full /tmp breaks the tools of the session",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if ev.N["tmp"] > 0.8 {
			return one(Finding{Level: coi.Warning, Title: "/tmp is more than 80 % full", Path: "/tmp"})
		}
		return nil
	},
	Fire:  []Sample{{Level: coi.Warning, Events: []event.Event{counter("tmp", map[string]float64{"tmp": 0.91})}}},
	Quiet: []Sample{{Events: []event.Event{counter("tmp", map[string]float64{"tmp": 0.4})}}},
}
