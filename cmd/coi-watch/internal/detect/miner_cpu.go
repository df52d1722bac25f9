package detect

import (
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var minerCPU = Detector{
	ID: "miner.cpu", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "processor busy for long beside one thin connection",
	Why:   "all processors are used for minutes by one tree that also keeps a connection open",
	// The counters bring n.cpu_cores and n.cores; the tracker keeps the time.
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.N["cores"] == 0 || v.Busy() < 10*time.Minute || !v.Outbound() || v.Runs(program.Compiler, program.Build, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "processors busy for ten minutes beside a connection to outside"})
	},
	Fire:  []Sample{{Level: coi.Warning, Events: busySample("/tmp/a", 700)}},
	Quiet: []Sample{{Events: busySample("/usr/bin/cargo", 700)}, {Events: busySample("/tmp/a", 60)}},
}

// busySample is a program that connects out and then uses all processors for
// some seconds.
func busySample(exe string, seconds int64) []event.Event {
	const second = int64(time.Second)
	full := map[string]float64{"cpu_cores": 3.9, "cores": 4}
	return []event.Event{
		{Type: event.Exec, PID: 4, PPID: 1, Mono: second, Exe: exe, Argv: []string{exe}},
		{Type: event.Connect, PID: 4, Mono: 2 * second, Exe: exe, Peer: "203.0.113.9", Port: 443, Dir: "out"},
		{Type: event.Counter, Mono: 3 * second, N: full},
		{Type: event.Counter, Mono: (3 + seconds) * second, N: full},
	}
}
