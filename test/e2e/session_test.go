//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// shell starts a bash in a session of its own and returns its container.
func shell(t *testing.T, dir string, more ...string) string {
	t.Helper()
	r := must(t, dir, append([]string{"shell", "--background", "--debug"}, more...)...)
	name := strings.TrimSpace(r.Stdout)
	discard(t, dir, name)
	return name
}

// discard kills containers at the end of a test, whose own context is over then.
func discard(t *testing.T, dir string, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
		defer stop()
		for _, c := range names {
			if t.Failed() {
				the.Tell(t, c)
			}
		}
		if r := the.Do(ctx, house.Call{Dir: dir, Args: append([]string{"kill", "--force"}, names...)}); r.Code != 0 && r.Code != 4 {
			t.Errorf("clean up: %s", r)
		}
	})
}

// asRoot runs a command as container root and returns what it printed.
func asRoot(t *testing.T, dir, container string, argv ...string) string {
	t.Helper()
	return must(t, dir, append([]string{"container", "exec", container, "--capture", "--format", "raw", "--"}, argv...)...).Stdout
}

// screen waits until the pane of a session shows a text.
func screen(t *testing.T, dir, container, want string) {
	t.Helper()
	err := house.Eventually(t.Context(), 20*time.Second, func() error {
		if r := do(t, dir, "tmux", "capture", container, "--lines", "200"); !strings.Contains(r.Stdout, want) {
			return fmt.Errorf("%s\nwant %q on the screen", r, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

type listing struct {
	Active []struct {
		Name, Status, Tool string
		Slot               int
		Persistent         bool
		Guarded            bool
		FrozenBy           string `json:"frozen_by"`
	} `json:"active_containers"`
	Ended []struct{ Name, Reason string }  `json:"recently_ended"`
	Saved []struct{ ID, Workspace string } `json:"saved_sessions"`
}

func list(t *testing.T, dir string, more ...string) listing {
	t.Helper()
	r := must(t, dir, append([]string{"list", "--json"}, more...)...)
	var l listing
	if err := json.Unmarshal([]byte(r.Stdout), &l); err != nil {
		t.Fatalf("%s\n%v", r, err)
	}
	return l
}

func (l listing) status(name string) string {
	for _, c := range l.Active {
		if c.Name == name {
			return c.Status
		}
	}
	return ""
}

// ended waits until a container is not listed any more.
func ended(t *testing.T, dir, name string) {
	t.Helper()
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		if s := list(t, dir).status(name); s != "" {
			return fmt.Errorf("%s is still %s", name, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// S27, S30, S32, S33: what was changed in an ephemeral container is gone with
// it; the conversation is saved and the workspace kept.
func TestSessionEphemeral(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir)
	must(t, dir, "tmux", "send", c, "sudo touch /etc/changed; echo kept > note; mkdir -p ~/.claude; echo talk > ~/.claude/talk.jsonl; exit")
	ended(t, dir, c)
	l := list(t, dir, "--all")
	if len(l.Ended) == 0 || l.Ended[0].Name != c || l.Ended[0].Reason != "exit" {
		t.Errorf("recently ended = %+v; want %s, exit", l.Ended, c)
	}
	var id string
	for _, s := range l.Saved {
		if s.Workspace == dir {
			id = s.ID
		}
	}
	if id == "" {
		t.Fatalf("no saved session of %s in %+v", dir, l.Saved)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "note")); string(b) != "kept\n" {
		t.Errorf("note = %q, %v", b, err)
	}
	again := shell(t, dir, "--resume="+id[:8])
	if got := asRoot(t, dir, again, "cat", "/home/code/.claude/talk.jsonl"); got != "talk\n" {
		t.Errorf("the conversation after --resume = %q", got)
	}
	if r := do(t, dir, "container", "exec", again, "--", "test", "-e", "/etc/changed"); r.Code != 1 {
		t.Errorf("%s\nwant a fresh container", r)
	}
}

// S28, S29: a persistent container is stopped and kept, and used again.
func TestSessionPersistent(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir, "--persistent")
	asRoot(t, dir, c, "touch", "/etc/changed")
	must(t, dir, "tmux", "send", c, "exit")
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		if s := list(t, dir, "--stopped").status(c); s != "stopped" {
			return fmt.Errorf("status %q", s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if again := shell(t, dir, "--persistent"); again != c {
		t.Errorf("the second session is in %s; want %s", again, c)
	}
	asRoot(t, dir, c, "test", "-e", "/etc/changed")
	if r := must(t, dir, "kill", "--force", c); !strings.Contains(r.Stdout, "deleted "+c+" (was persistent)") {
		t.Errorf("%s", r)
	}
}

// S31, session §2: starts at the same moment get slots of their own.
func TestSessionSlotsInParallel(t *testing.T) {
	dir := workspace(t)
	names := make([]string, 3)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			r := do(t, dir, "shell", "--background", "--debug")
			if names[i] = strings.TrimSpace(r.Stdout); r.Code != 0 {
				t.Errorf("%s", r)
			}
		})
	}
	wg.Wait()
	discard(t, dir, names...)
	slots := map[int]bool{}
	for _, c := range list(t, dir).Active {
		slots[c.Slot] = true
		if !c.Guarded {
			t.Errorf("%s is not guarded", c.Name)
		}
	}
	if !slots[1] || !slots[2] || !slots[3] || len(slots) != 3 {
		t.Errorf("containers %v in slots %v; want 1, 2, 3", names, slots)
	}
	if r := do(t, dir, "info"); r.Code != 2 || !strings.Contains(r.Stderr, names[0]) {
		t.Errorf("%s\nwant exit 2 and the names", r)
	}
}

// S35, S36, S37, S38: two ways from one state.
func TestSessionSnapshot(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir)
	must(t, dir, "snapshot", "create", "a")
	if r := do(t, dir, "snapshot", "create", "a"); r.Code != 1 {
		t.Errorf("%s\nwant exit 1 for a name that exists", r)
	}
	asRoot(t, dir, c, "touch", "/etc/one")
	for range 2 {
		must(t, dir, "snapshot", "restore", "--force", "-c", c, "a")
		must(t, dir, "container", "start", c)
		if r := do(t, dir, "container", "exec", c, "--", "test", "-e", "/etc/one"); r.Code != 1 {
			t.Errorf("%s\nwant the state before", r)
		}
		asRoot(t, dir, c, "touch", "/etc/one")
	}
	if r := must(t, dir, "shutdown", c); !strings.Contains(r.Stdout, "1 snapshot") {
		t.Errorf("%s\nwant it kept because of its snapshot", r)
	}
}

// S53, cli §5.8: frozen by the user, shown so, and let go again.
func TestSessionFreeze(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir)
	must(t, dir, "freeze")
	if s := list(t, dir).status(c); s != "frozen (you)" {
		t.Errorf("status = %q", s)
	}
	if r := do(t, dir, "tmux", "send", c, "x"); r.Code != 1 || !strings.Contains(r.Stderr, "coi unfreeze") {
		t.Errorf("%s\nwant exit 1 and the way out", r)
	}
	must(t, dir, "unfreeze", c)
	must(t, dir, "tmux", "send", c, "echo al''ive")
	screen(t, dir, c, "alive")
}

// Cli §5.9: persist takes effect at the end of the running session.
func TestSessionPersist(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir)
	must(t, dir, "persist")
	if r := must(t, dir, "shutdown"); !strings.Contains(r.Stdout, "stopped "+c+" (persistent, kept)") {
		t.Errorf("%s", r)
	}
}

// S101, S102: nothing of the next launch can be planted from inside.
func TestSessionLockedPaths(t *testing.T) {
	dir := workspace(t)
	r := do(t, dir, "run", "--", "sh", "-c", "touch free && touch .coi/config.toml")
	if r.Code == 0 || !strings.Contains(r.Stderr, "Read-only file system") {
		t.Errorf("%s\nwant .coi to be read-only", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "free")); err != nil {
		t.Errorf("the control write did not arrive: %v", err)
	}
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		if _, err := os.Lstat(filepath.Join(dir, ".coi")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("a placeholder is left: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A forwarded value reaches the command and no command line, of the host's
// either.
func TestRunKeepsValuesOffCommandLines(t *testing.T) {
	dir := workspace(t)
	const value = "sesame-4711"
	if err := the.Config("[defaults]\nforward_env = [\"OPEN\"]\n"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = the.Config("") })
	r := doIn(t, house.Call{Dir: dir, Env: []string{"OPEN=" + value}, Args: []string{"shell", "--background", "--debug"}})
	c := strings.TrimSpace(r.Stdout)
	discard(t, dir, c)
	must(t, dir, "tmux", "send", c, "echo \"<$OPEN>\"")
	screen(t, dir, c, "<"+value+">")
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("processes = %v, %v", lines, err)
	}
	for _, p := range lines {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), value) {
			t.Errorf("%s = %q", p, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
}

// Session §3, §6: a command killed at any moment of its start leaves nothing,
// and the next command finishes what a supervisor that was killed had begun.
func TestRunKilledLeavesNothing(t *testing.T) {
	dir := workspace(t)
	for _, after := range []time.Duration{20, 80, 200, 400, 800, 1500} {
		cmd := the.Command(t.Context(), house.Call{Dir: dir, Args: []string{"run", "--", "sleep", "60"}})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		_ = cmd.Wait()
		timer.Stop()
	}
	gone(t, 60*time.Second)
}

// Cli §6.2: a container's links and special files never reach the host.
func TestFilePullHostile(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir)
	asRoot(t, dir, c, "sh", "-c", "mkdir /d; ln -s /etc/passwd /d/x; mkfifo /d/f; echo real > /d/a")
	out := filepath.Join(t.TempDir(), "out")
	r := must(t, dir, "file", "pull", "-r", c+":/d", out)
	if !strings.Contains(r.Stderr, "1 link skipped") || !strings.Contains(r.Stderr, "1 special file skipped") {
		t.Errorf("%s", r)
	}
	if b, err := os.ReadFile(filepath.Join(out, "a")); string(b) != "real\n" {
		t.Errorf("a = %q, %v", b, err)
	}
	if _, err := os.Lstat(filepath.Join(out, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link arrived: %v", err)
	}
}
