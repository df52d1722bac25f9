// Package install puts a directory in another's place in one step, and hands
// running guards over to the new programs while their rules stay in force.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Layout is where the programs live.
type Layout struct {
	Tools      string // directory of coi-<tool>
	Dispatcher string // path of coi
}

// Find works the layout out from our own executable: libexec/coi with
// ../../bin/coi, or everything in one directory.
func Find(self string) (Layout, error) {
	dir := filepath.Dir(self)
	l := Layout{Tools: dir, Dispatcher: filepath.Join(dir, "coi")}
	if filepath.Base(dir) == "coi" && filepath.Base(filepath.Dir(dir)) == "libexec" {
		l.Dispatcher = filepath.Join(dir, "..", "..", "bin", "coi")
	}
	if _, err := os.Stat(l.Dispatcher); err != nil {
		return l, fmt.Errorf("find the installed coi: %w", err)
	}
	return l, nil
}

// Writable says whether both places can be replaced.
func (l Layout) Writable() error {
	for _, dir := range []string{filepath.Dir(l.Tools), l.Tools, filepath.Dir(l.Dispatcher)} {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// Swap exchanges two directories of one file system in one step and removes
// what was in place before. Where the new one has no counterpart it is renamed in.
func Swap(fresh, place string) error {
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return os.Rename(fresh, place)
	}
	if err != nil {
		return fmt.Errorf("put %s in place: %w", place, err)
	}
	return os.RemoveAll(fresh)
}

// Guard is a daemon to be handed over.
type Guard struct{ Program, File, Lock string }

// Guards are the two daemons.
var Guards = []Guard{
	{"coi-netguard", run.NetguardFile, run.NetguardLock},
	{"coi-watch", run.WatchDaemonFile, run.WatchLock},
}

// HandOver ends a running guard, which leaves its rules and marks in the
// kernel, and starts the new program in its place. Under systemd the unit does
// the starting. running is false when there was nothing to hand over.
func HandOver(ctx context.Context, h home.Home, tools string, g Guard) (running bool, err error) {
	var old run.Daemon
	if err := run.Read(h.Run(g.File), &old); err != nil || !old.Alive(time.Now()) {
		return false, nil //nolint:nilerr // no readable state means no guard
	}
	unit := underSystemd(old.PID, g.Program)
	if err := unix.Kill(old.PID, unix.SIGTERM); err != nil {
		return true, fmt.Errorf("end %s (pid %d): %w", g.Program, old.PID, err)
	}
	if err := waitGone(ctx, h.Run(g.Lock)); err != nil {
		return true, fmt.Errorf("%s (pid %d) does not end: %w", g.Program, old.PID, err)
	}
	if !unit {
		if err := start(filepath.Join(tools, g.Program)); err != nil {
			return true, err
		}
	}
	return true, run.Wait(ctx, h.Run(g.File), func([]byte) bool {
		var d run.Daemon
		return run.Read(h.Run(g.File), &d) == nil && d.PID != old.PID && d.Alive(time.Now())
	})
}

func waitGone(ctx context.Context, lock string) error {
	l, err := home.WaitLock(ctx, lock)
	if err != nil {
		return err
	}
	l.Unlock()
	return nil
}

// underSystemd reports whether a process belongs to one of our units, whose
// manager starts it again by itself.
func underSystemd(pid int, program string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && bytes.Contains(b, []byte(program+"@"))
}

func start(program string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	cmd := exec.Command(program, "run")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	return cmd.Process.Release()
}
