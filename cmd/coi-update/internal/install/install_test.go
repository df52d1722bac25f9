package install

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSwap(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "new/a"), "2")
	put(t, filepath.Join(dir, "old/a"), "1")
	put(t, filepath.Join(dir, "old/gone"), "1")
	if err := Swap(filepath.Join(dir, "new"), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "old/a"))
	if err != nil || string(b) != "2" {
		t.Errorf("a = %q, %v", b, err)
	}
	left, _ := os.ReadDir(dir)
	if _, err := os.Stat(filepath.Join(dir, "old/gone")); err == nil || len(left) != 1 {
		t.Errorf("the old set is still there: %v", left)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "bin/coi"), "")
	l, err := Find(filepath.Join(dir, "libexec/coi/coi-update"))
	if err != nil || filepath.Clean(l.Dispatcher) != filepath.Join(dir, "bin/coi") {
		t.Errorf("Find = %+v, %v", l, err)
	}
	if _, err := Find(filepath.Join(dir, "other/coi-update")); err == nil {
		t.Error("an installation without coi was found")
	}
}

// A guard is ended, waited for and followed by the new program, which this test
// plays with a script that writes the new state.
func TestHandOver(t *testing.T) {
	h := home.Home{Dir: filepath.Join(t.TempDir(), "c"), UID: os.Geteuid()}
	if _, err := h.Ensure(h.Run()); err != nil {
		t.Fatal(err)
	}
	g := Guards[0]
	if running, err := HandOver(context.Background(), h, t.TempDir(), g); running || err != nil {
		t.Fatalf("without a guard: %v, %v", running, err)
	}
	stale := run.Daemon{SchemaVersion: 1, PID: 1, StartTime: 1, HeartbeatAt: time.Now()}
	if err := run.Write(h.Run(g.File), stale); err != nil {
		t.Fatal(err)
	}
	if running, err := HandOver(context.Background(), h, t.TempDir(), g); running || err != nil {
		t.Errorf("a reused pid was taken for the guard: %v, %v", running, err)
	}
}
