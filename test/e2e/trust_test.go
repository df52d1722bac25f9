//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// project writes the project's own configuration.
func project(t *testing.T, dir, toml string) {
	t.Helper()
	coi := filepath.Join(dir, ".coi")
	if err := os.MkdirAll(coi, 0o755); err != nil {
		t.Fatal(err)
	}
	// The file is immutable until the session before it is cleaned up.
	err := house.Eventually(t.Context(), 20*time.Second, func() error {
		return os.WriteFile(filepath.Join(coi, "config.toml"), []byte(toml), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// R-REG-01, S78 S83 S85 S88: a mount of a project is there only after coi
// trust, and not any more when it changes.
func TestTrustGatesAMount(t *testing.T) {
	dir := workspace(t)
	data := filepath.Join(the.Dir, "trusted-data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "f"), []byte("from outside\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, house.Owner, house.Owner); err != nil {
		t.Fatal(err)
	}
	mount := "[[mounts]]\nhost = \"" + data + "\"\ncontainer = \"/mnt/data\"\n"
	project(t, dir, mount)
	look := []string{"run", "--", "sh", "-c", "cat /mnt/data/f 2>/dev/null || echo not there"}

	r := must(t, dir, look...)
	if r.Stdout != "not there\n" || !strings.Contains(r.Stderr, "/mnt/data") || !strings.Contains(r.Stderr, "hint: coi trust") {
		t.Errorf("before coi trust: %s", r)
	}
	if r = do(t, dir, "trust"); r.Code != 2 {
		t.Errorf("off a terminal: %s", r)
	}
	must(t, dir, "trust", "--yes")
	if r = must(t, dir, look...); r.Stdout != "from outside\n" {
		t.Errorf("after coi trust: %s", r)
	}
	project(t, dir, mount+"readonly = true\n")
	if r = must(t, dir, look...); r.Stdout != "not there\n" {
		t.Errorf("after a change: %s", r)
	}
}

// R-REG-02, S80 S95 S118 S119: a project runs nothing on the host and opens
// nothing; the user's own file does.
func TestProjectRunsNothingOnTheHost(t *testing.T) {
	dir := workspace(t)
	mark := filepath.Join(dir, "ran-on-host")
	project(t, dir, "[defaults.env_commands]\nTOKEN = \"touch "+mark+"; echo theirs\"\n[network]\nmode = \"open\"\n")
	r := must(t, dir, "run", "--", "sh", "-c", "echo token=$TOKEN")
	if _, err := os.Lstat(mark); err == nil || r.Stdout != "token=\n" {
		t.Errorf("a project's env_commands ran: %s", r)
	}
	for _, key := range []string{"defaults.env_commands.TOKEN", "network.mode"} {
		if !strings.Contains(r.Stderr, key) {
			t.Errorf("%s\nwant a warning that names %s", r, key)
		}
	}
}
