package cgroup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoFreezer is returned when no handle of a freezer could be opened.
var ErrNoFreezer = errors.New("no handle of the freezer")

// Freeze stops every process of the group and returns when all stand still or
// the context ends. The version 1 freezer is told again each millisecond: a
// process in vfork that came after the first word would never hear it.
func (g *Group) Freeze(ctx context.Context) error {
	switch {
	case g.freezeV1 != nil:
		return g.untilV1(ctx, "FROZEN")
	case g.freezeV2 != nil:
		return g.untilV2(ctx, "1")
	}
	return ErrNoFreezer
}

// Thaw lets the processes go on. It undoes both hierarchies, whoever froze them.
func (g *Group) Thaw(ctx context.Context) error {
	var err error
	if g.freezeV1 != nil {
		err = g.untilV1(ctx, "THAWED")
	}
	if g.freezeV2 != nil {
		err = errors.Join(err, g.untilV2(ctx, "0"))
	}
	if g.freezeV1 == nil && g.freezeV2 == nil {
		err = ErrNoFreezer
	}
	return err
}

// step is how long to wait between two looks at the freezer.
const step = 200 * time.Microsecond

func (g *Group) untilV1(ctx context.Context, want string) error {
	last := time.Time{}
	for {
		if now := time.Now(); now.Sub(last) >= time.Millisecond {
			last = now
			if _, err := g.freezeV1.WriteAt([]byte(want), 0); err != nil {
				return fmt.Errorf("write %s to %s: %w", want, g.freezeV1.Name(), err)
			}
		}
		if s := readAt(g.freezeV1); s == want {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s reads %q: %w", g.freezeV1.Name(), readAt(g.freezeV1), err)
		}
	}
}

func (g *Group) untilV2(ctx context.Context, want string) error {
	if _, err := g.freezeV2.WriteAt([]byte(want), 0); err != nil {
		return fmt.Errorf("write %s to %s: %w", want, g.freezeV2.Name(), err)
	}
	for {
		if g.events == nil || flag(readAt(g.events), "frozen") == want {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s: frozen is not %s: %w", g.events.Name(), want, err)
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(step)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Frozen reports whether every process stands still, however that came.
func (g *Group) Frozen() bool {
	if g.freezeV1 != nil && readAt(g.freezeV1) == "FROZEN" {
		return true
	}
	return g.events != nil && flag(readAt(g.events), "frozen") == "1"
}

// Populated reports whether the group has any process.
func (g *Group) Populated() bool {
	if g.events != nil {
		return flag(readAt(g.events), "populated") == "1"
	}
	pids, err := g.PIDs()
	return err == nil && len(pids) > 0
}

// Kill ends every process, the unified way when the kernel has it (5.14), else
// by signal. Tasks that a version 1 freezer holds die only when it lets go.
func (g *Group) Kill(ctx context.Context) error {
	var err error
	if g.kill != nil {
		_, err = g.kill.WriteAt([]byte("1"), 0)
	}
	if g.kill == nil || err != nil {
		err = g.signalAll()
	}
	return errors.Join(err, g.Thaw(ctx))
}

func (g *Group) signalAll() error {
	pids, err := g.PIDs()
	for _, pid := range pids {
		if e := unix.Kill(pid, unix.SIGKILL); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill %d: %w", pid, e))
		}
	}
	return err
}

// maxPIDs bounds what is read of one container.
const maxPIDs = 65536

// PIDs lists the processes of the group and of every group below.
func (g *Group) PIDs() ([]int, error) {
	var pids []int
	err := filepath.WalkDir(g.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we looked
			}
			return err
		}
		if !d.IsDir() {
			return nil
		}
		f, err := os.Open(filepath.Join(p, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // a group that vanished has no processes
		}
		defer func() { _ = f.Close() }()
		s := bufio.NewScanner(f)
		for s.Scan() && len(pids) < maxPIDs {
			if pid, err := strconv.Atoi(s.Text()); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids, err
}

func readAt(f *os.File) string {
	var b [256]byte
	n, _ := f.ReadAt(b[:], 0)
	return string(bytes.TrimSpace(b[:n]))
}

// flag is the value behind a word in a flat keyed file.
func flag(text, word string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if v, ok := strings.CutPrefix(line, word+" "); ok {
			return v
		}
	}
	return ""
}
