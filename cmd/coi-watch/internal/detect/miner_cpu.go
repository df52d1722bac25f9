package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var minerCPU = Detector{
	ID: "miner.cpu", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "processor busy for long beside one thin connection",
	Why:   "all processors are used for minutes by one tree that also keeps a connection open",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Op != "cpu" || ev.N["share"] < 0.85 || ev.N["seconds"] < 600 || ev.N["flow"] < 1 {
			return nil
		}
		if v.Under(program.Compiler, program.Build, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "processors busy for ten minutes with one thin connection", PID: ev.PID})
	},
	Fire:  []Sample{{Level: coi.Warning, Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, Exe: "/tmp/a", N: map[string]float64{"share": 0.97, "seconds": 700, "flow": 1}}}}},
	Quiet: []Sample{{Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, Exe: "/usr/bin/cargo", N: map[string]float64{"share": 0.99, "seconds": 900, "flow": 1}}}}, {Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, N: map[string]float64{"share": 0.99, "seconds": 60, "flow": 1}}}}},
}
