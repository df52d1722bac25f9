package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// lines makes samples of command lines. For Fire, level is the least they must
// reach; for Quiet, the level they must stay below (empty: warning).
func lines(level coi.Level, text ...string) []Sample {
	out := make([]Sample, len(text))
	for i, t := range text {
		out[i] = Sample{Line: t, Level: level}
	}
	return out
}

// events makes one sample of several events.
func events(ev ...event.Event) []Sample { return []Sample{{Level: coi.Warning, Events: ev}} }

// execEvent makes a sample of one program started with flags of its file.
func execEvent(exe string, flags ...string) []Sample {
	return []Sample{{Level: coi.Warning, Events: []event.Event{{Type: event.Exec, PID: 7, PPID: 1, Exe: exe, Argv: []string{exe}, ExeFlags: flags}}}}
}

// counter makes an event of the counters.
func counter(op string, n map[string]float64) event.Event {
	return event.Event{Type: event.Counter, Op: op, N: n}
}
