package flags

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

func TestSetAndClear(t *testing.T) {
	base := t.TempDir()
	h := home.Home{Dir: filepath.Join(base, "coi"), User: base, UID: os.Geteuid()}
	hooks := filepath.Join(base, "ws", ".git", "hooks")
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(hooks, "pre-commit")
	if err := os.WriteFile(hook, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Sweep(h, func(string) bool { return false }); err != nil {
			t.Error(err)
		}
	})
	if err := Set(h, "a-1", []string{hooks}); err != nil {
		t.Fatal(err)
	}
	if err := Set(h, "b-1", []string{hooks}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("b"), 0o644); err == nil {
		t.Error("a flagged file was written")
	}
	if err := os.WriteFile(filepath.Join(hooks, "new"), nil, 0o644); err == nil {
		t.Error("a file was made in a flagged folder")
	}
	both := func(string) bool { return true }
	if err := Clear(h, "a-1", both); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("b"), 0o644); err == nil {
		t.Error("the flag went while another container needs it")
	}
	if err := Sweep(h, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("c"), 0o644); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
}
