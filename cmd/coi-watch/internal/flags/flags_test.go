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

// R-PATH-08: a power cut at any moment between the manifest and the last flag,
// and the boot after it, leave nothing immutable; another object that has taken
// a name since is left alone.
func TestPowerCut(t *testing.T) {
	base := t.TempDir()
	h := home.Home{Dir: filepath.Join(base, "coi"), User: base, UID: os.Geteuid()}
	var files []string
	for _, n := range []string{"1", "2", "3", "4"} {
		files = append(files, filepath.Join(base, n))
	}
	t.Cleanup(func() { _ = Sweep(h, func(string) bool { return false }) })
	for set := range len(files) + 1 {
		for _, p := range files {
			if err := os.WriteFile(p, []byte("a"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := Set(h, "a-1", files); err != nil {
			t.Fatal(err)
		}
		m, err := read(h, "a-1")
		if err != nil || len(m.Paths) != len(files) {
			t.Fatalf("manifest %+v, %v", m, err)
		}
		// As if the machine had gone off after so many flags, and booted again.
		for _, e := range m.Paths[set:] {
			if err := change(e, false); err != nil {
				t.Fatal(err)
			}
		}
		m.BootID = "of the boot before"
		if err := home.WriteJSON(file(h, "a-1"), m, true); err != nil {
			t.Fatal(err)
		}
		// A container of that name runs again: it says what it wants anew.
		if err := Sweep(h, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		for _, p := range files {
			if err := os.WriteFile(p, []byte("b"), 0o644); err != nil {
				t.Errorf("cut after %d flags: %v", set, err)
			}
		}
		if _, err := os.Stat(file(h, "a-1")); err == nil {
			t.Errorf("cut after %d flags: the manifest is still there", set)
		}
	}
	// The same boot and a container that lives: nothing is taken away.
	if err := Set(h, "a-1", files); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(h, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], nil, 0o644); err == nil {
		t.Error("the flag of a living container is gone")
	}
	// Another object under a name of the manifest.
	m, err := read(h, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	other := Entry{Path: files[1], Dev: m.Paths[1].Dev, Ino: m.Paths[1].Ino}
	m.Paths[1].Ino++
	if err := home.WriteJSON(file(h, "a-1"), m, true); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(h, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[1], nil, 0o644); err == nil {
		t.Error("a flag that is not of the manifest was taken away")
	}
	if err := change(other, false); err != nil {
		t.Fatal(err)
	}
}
