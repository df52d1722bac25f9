//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// Netguard §11: coi netguard tail shows what is refused as it happens, and one
// key allows it; the lines stay whole meanwhile.
func TestTailAllowsByKey(t *testing.T) {
	configure(t, "[network]\nmode = \"allowlist\"\n")
	dir := workspace(t)
	c := shell(t, dir)
	socket := filepath.Join(t.TempDir(), "tmux")
	tmux := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("tmux", append([]string{"-S", socket}, args...)...)
		cmd.Dir, cmd.Env = dir, the.Env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	tmux("new-session", "-d", "-x", "120", "-y", "30", filepath.Join(the.Bin, "coi"), "netguard", "tail", c)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", socket, "kill-server").Run() })
	shows := func(want string) {
		t.Helper()
		err := house.Eventually(t.Context(), 20*time.Second, func() error {
			if got := tmux("capture-pane", "-p"); !strings.Contains(got, want) {
				return fmt.Errorf("the screen shows\n%s\nwant %q", got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	asks := func(name string) {
		must(t, dir, "container", "exec", c, "--capture", "--format", "raw", "--", "sh", "-c", "getent hosts "+name+"; true")
	}
	explained := func() string { return do(t, dir, "netguard", "explain", c, "one.example.com:443").Stdout }
	if got := explained(); !strings.Contains(got, "allowlist.default") {
		t.Fatalf("control: %s", got)
	}
	asks("one.example.com")
	shows("\n    a: allow one.example.com for 10 minutes")
	tmux("send-keys", "a")
	shows("\n" + c + ": allowed one.example.com for 10m0s")
	if got := explained(); !strings.Contains(got, "allow.name") {
		t.Errorf("after the key: %s", got)
	}
	asks("two.example.com")
	shows("\n    a: allow two.example.com for 10 minutes")
	for line := range strings.SplitSeq(tmux("capture-pane", "-p"), "\n") {
		if strings.HasPrefix(line, "     ") {
			t.Errorf("a line begins in the middle: %q", line)
		}
	}
	tmux("send-keys", "q")
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		if exec.Command("tmux", "-S", socket, "has-session").Run() == nil {
			return fmt.Errorf("it goes on after q")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
