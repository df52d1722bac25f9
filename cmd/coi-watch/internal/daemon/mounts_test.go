package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// What is wanted of a container that is gone sets no flag again when it only
// asks for a thaw, as the end of a killed session does; the next start does.
func TestFlagsStayOffAfterTheEnd(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &container{d: New(Options{Home: h}), name: "coi-12345678-1", cfg: run.Watch{Immutable: []string{file}}}
	t.Cleanup(c.clearFlags)
	manifest := filepath.Join(h.Dir, "immutable-locks", c.name+".json")
	want := func(when, status string, set bool) {
		t.Helper()
		if _, err := os.Lstat(manifest); c.status.Immutable != status || (err == nil) != set {
			t.Errorf("%s: %q, manifest %v; want %q, %v", when, c.status.Immutable, err, status, set)
		}
	}
	c.setFlags(run.Watch{}, true)
	want("start", "set", true)
	c.clearFlags()
	want("end", flagsOff, false)
	old := c.cfg
	c.cfg.Generation, c.cfg.Thaw = 2, 1
	c.setFlags(old, false)
	want("thaw after the end", flagsOff, false)
	old = c.cfg
	c.cfg.Generation = 3
	c.setFlags(old, false)
	want("next start", "set", true)
}
