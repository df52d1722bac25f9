//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/test/internal/house"
)

// lifecycle collects what Incus does to the containers of this run until it is told to stop.
func lifecycle(t *testing.T) (stop func(container string) []string) {
	t.Helper()
	cmd := exec.Command("incus", "monitor", "--type", "lifecycle", "--format", "json")
	var mu sync.Mutex
	var out bytes.Buffer
	cmd.Stdout = writer(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return out.Write(p) })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	text := func() string { mu.Lock(); defer mu.Unlock(); return out.String() }
	// It listens once it tells of something that we do.
	mark := the.Prefix + "monitor"
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		if out, err := exec.Command("incus", "profile", "create", mark).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if out, err := exec.Command("incus", "profile", "delete", mark).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(text(), mark) {
			return errors.New("not listening yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(container string) []string {
		var actions []string
		for line := range strings.Lines(text()) {
			var e struct {
				Metadata struct{ Action, Source string }
			}
			if json.Unmarshal([]byte(line), &e) == nil && strings.HasSuffix(e.Metadata.Source, "/"+container) {
				actions = append(actions, e.Metadata.Action)
			}
		}
		return actions
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// The accept lines of session §4, §6, §13, §15, §16, §19: made by one request
// and never updated before the start; git's guards inside; the time zone; a
// terminal that changes its size; a reboot inside; modes of what coi keeps.
func TestWhatASessionPromises(t *testing.T) {
	configure(t, "[timezone]\nmode = \"utc\"\n[git]\nname = \"n\"\nemail = \"n@example.com\"\nprotected_branches = [\"main\"]\n")
	dir := workspace(t)
	repository(t, dir)
	events := lifecycle(t)
	c := shell(t, dir)
	actions := events(c)
	started := slices.Index(actions, "instance-started")
	if started < 0 || slices.Index(actions, "instance-created") != 0 || slices.Contains(actions[:started], "instance-updated") || slices.Contains(actions[1:], "instance-created") {
		t.Errorf("Incus did %v; want it created, then started, and updated never before", actions)
	}
	inside := func(script string) string {
		t.Helper()
		r := do(t, dir, "container", "exec", c, "--user", "1000", "--cwd", "/workspace", "--env", "HOME=/home/code", "--", "bash", "-lc", script)
		return r.Stdout + r.Stderr
	}
	if got := inside("date +%Z; cat /etc/timezone"); !strings.HasPrefix(got, "UTC\n") {
		t.Errorf("time zone: %q", got)
	}
	if got := inside("git commit --allow-empty -m refused && echo committed"); strings.Contains(got, "\ncommitted") || !strings.Contains(got, "main") || !strings.Contains(got, "protected_branches") {
		t.Errorf("a commit on main: %q", got)
	}
	if got := inside("git checkout -q -b x && printf 'work\\n\\nCo-Authored-By: Claude <noreply@anthropic.com>\\n' | git commit -q --allow-empty -F - && git log -1 --format='<%B %an>'"); !strings.Contains(got, "<work") || strings.Contains(got, "Co-Authored") || !strings.Contains(got, " n>") {
		t.Errorf("a commit on x: %q", got)
	}
	resized(t, dir, c)
	if out, err := exec.Command("find", the.Home.Dir, "-perm", "/077", "!", "-path", "*/masks/*", "!", "-type", "l").CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("modes: %s, %v", out, err)
	}
	// The shell goes with its container.
	do(t, dir, "tmux", "send", c, "sudo systemctl reboot")
	ended(t, dir, c)
	gone(t, 30*time.Second, strings.TrimPrefix(c, the.Prefix))
}

// resized attaches a terminal, changes its size, and waits for the session to have it.
func resized(t *testing.T, dir, c string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "tmux")
	outer := func(args ...string) {
		t.Helper()
		cmd := exec.Command("tmux", append([]string{"-S", socket}, args...)...)
		cmd.Dir, cmd.Env = dir, the.Env()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tmux %v: %v: %s", args, err, out)
		}
	}
	outer("new-session", "-d", "-x", "90", "-y", "30", "coi attach "+c)
	defer func() { _ = exec.Command("tmux", "-S", socket, "kill-server").Run() }()
	for _, width := range []string{"90", "131"} {
		outer("resize-window", "-x", width, "-y", "40")
		err := house.Eventually(t.Context(), 20*time.Second, func() error {
			if got := asRoot(t, dir, c, "su", "code", "-c", "tmux display-message -p -t =coi-"+c+": '#{window_width}'"); got != width+"\n" {
				return fmt.Errorf("the session is %q wide; want %s", got, width)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Session §6 accept: no room for the save keeps the container, the message
// names it, and with room again it is saved and gone.
func TestNoRoomForTheSave(t *testing.T) {
	small := filepath.Join(the.Dir, "small")
	if err := errors.Join(os.Mkdir(small, 0o700), unix.Mount("none", small, "tmpfs", 0, "size=256k,mode=0700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	configure(t, "[paths]\nsessions_dir = \""+small+"/sessions\"\n")
	dir := workspace(t)
	c := shell(t, dir)
	must(t, dir, "container", "exec", c, "--", "sh", "-c", "mkdir -p /home/code/.claude && head -c 1000000 /dev/urandom >/home/code/.claude/talk && chown -R code:code /home/code/.claude")
	if r := do(t, dir, "shutdown", c); !strings.Contains(r.Stdout+r.Stderr, "kept") || !strings.Contains(r.Stdout+r.Stderr, c) || !strings.Contains(r.Stdout+r.Stderr, "no space left") {
		t.Errorf("%s\nwant the container kept, with the reason", r)
	}
	if s := list(t, dir).status(c); !strings.HasPrefix(s, "stopped") {
		t.Errorf("%s is %q; want it kept, stopped", c, s)
	}
	if err := unix.Mount("none", small, "tmpfs", unix.MS_REMOUNT, "size=16m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "clean", "--force")
	gone(t, 30*time.Second, strings.TrimPrefix(c, the.Prefix))
	if talk, err := filepath.Glob(small + "/sessions-claude/*/.claude/talk"); err != nil || len(talk) != 1 {
		t.Errorf("saved: %v, %v", talk, err)
	}
}

// Session §5 accept: an image whose init gives up at once ends in an error with
// what it said, and leaves nothing.
func TestInitThatNeverStarts(t *testing.T) {
	t.Cleanup(func() {
		_ = the.Do(context.Background(), house.Call{Args: []string{"image", "delete", "e2e-noinit", "-f"}})
	})
	configure(t, "[container]\nimage = \"e2e-noinit\"\nready_timeout = 10\n[container.build]\ncompression = \"none\"\ncommands = [\"rm /sbin/init; printf '#!/bin/sh\\\\necho the init gives up\\\\nexit 1\\\\n' >/sbin/init; chmod 755 /sbin/init\"]\n")
	dir := workspace(t)
	must(t, dir, "build")
	start := time.Now()
	r := do(t, dir, "run", "--", "true")
	if r.Code != 1 || time.Since(start) > 60*time.Second {
		t.Errorf("%s\nwant exit 1 in time", r)
	}
	if !strings.Contains(r.Stderr, "the init gives up") {
		t.Errorf("%s\nwant the last lines of the console", r)
	}
	gone(t, 10*time.Second, coi.Hash8(dir))
}
