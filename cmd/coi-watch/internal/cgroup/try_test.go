package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// The freezer of this machine is tried and nothing of it stays; a hierarchy
// without one is an error and leaves nothing either.
func TestTry(t *testing.T) {
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	took, err := l.Try(t.Context())
	if os.Getuid() == 0 {
		if err != nil || took <= 0 {
			t.Errorf("Try() = %v, %v; want it to work for root", took, err)
		}
	} else if err == nil {
		t.Error("Try() = nil without the right to; want an error")
	}
	if left, err := filepath.Glob(filepath.Join(l.Parent(), "coi-watch-try-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	none := Layout{V1: map[string]string{"freezer": t.TempDir()}}
	if _, err := none.Try(t.Context()); err == nil {
		t.Error("Try() without a freezer = nil; want an error")
	}
	if left, err := os.ReadDir(none.V1["freezer"]); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
