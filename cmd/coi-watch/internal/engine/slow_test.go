package engine

import (
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Watch §6: a detector over its budget is told of once, and off after three times.
func TestSlowDetector(t *testing.T) {
	e := New(Config{Workspace: "/workspace"})
	ev := event.Event{Type: event.Exec, PID: 7}
	if got := e.spent(0, slowest, ev); got != nil {
		t.Errorf("within the budget: %+v", got)
	}
	for i, want := range []string{"took 101 ms", "", "is off", ""} {
		got := e.spent(0, slowest+1_000_000, ev)
		if want == "" && got != nil || want != "" && (len(got) != 1 || got[0].Rule != SensorFault || got[0].Level != coi.Warning || !strings.Contains(got[0].Title, detect.All[0].ID) || !strings.Contains(got[0].Title, want)) {
			t.Errorf("time %d: %+v; want %q", i+1, got, want)
		}
	}
	if len(e.Problems()) == 0 || !strings.Contains(strings.Join(e.Problems(), " "), detect.All[0].ID) {
		t.Errorf("Problems = %q; want the detector that is off", e.Problems())
	}
}
