package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// BenchmarkProcess is the budget of 50 us per event at p99 over all detectors,
// parsing of long texts apart.
func BenchmarkProcess(b *testing.B) {
	for name, ev := range map[string]event.Event{
		"exec": {Type: event.Exec, Exe: "/usr/bin/node", Argv: []string{"node", "node_modules/.bin/tsc", "--noEmit", "-p", "tsconfig.json"}},
		"line": {Type: event.Exec, Exe: "/usr/bin/bash", Argv: []string{"bash", "-c", "npm ci && npm run build 2>&1 | tee build.log"}},
		"open": {Type: event.Open, Exe: "/usr/bin/git", Path: "/home/code/.gitconfig"},
		"conn": {Type: event.Connect, Exe: "/usr/bin/node", Peer: "198.51.100.7", Port: 443, Dir: "out"},
	} {
		b.Run(name, func(b *testing.B) {
			e := New(Config{Workspace: "/workspace"})
			var took []time.Duration
			ev.PPID = 1
			for i := 0; b.Loop(); i++ {
				ev.PID, ev.Start, ev.Mono = 2+i%30000, uint64(i), int64(i)*1000
				start := time.Now()
				e.Process(ev)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
		})
	}
}
