package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var stormPids = Detector{
	ID: "storm.pids", Level: coi.High, Wants: []event.Type{event.Counter},
	Title: "very many processes", Why: "the count of processes nears its limit",
	Detect: func(ev event.Event, v track.View) []Finding {
		limit := v.Settings().ProcessCount
		if limit == 0 {
			limit = 1000
		}
		if limit > 0 && ev.N["pids"] > float64(limit) || ev.N["limit"] > 0 && ev.N["pids"] > 0.9*ev.N["limit"] {
			return one(Finding{Level: coi.High, Title: "very many processes"})
		}
		return nil
	},
	Fire:  []Sample{{Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"pids": 1200})}}, {Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"pids": 95, "limit": 100})}}},
	Quiet: []Sample{{Events: []event.Event{counter("pids", map[string]float64{"pids": 300, "limit": 4096})}}},
}
