package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/endcheck"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/flags"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// verifyMounts compares what the container sees with what was meant to be
// mounted there: device and inode of each mount point, from outside.
func (c *container) verifyMounts() {
	if c.scene == nil || c.scene.Root == nil || c.group == nil {
		return
	}
	for _, m := range c.cfg.Mounts {
		if err := c.sameMount(m); err != nil {
			c.status.Mounts = "mismatch: " + m.Path
			c.d.logf("%s: mount %s: %v", c.name, m.Path, err)
			return
		}
	}
	c.status.Mounts = "verified"
	c.mounts = c.mountsOn(c.cfg.Locked)
}

var errOther = errors.New("another file or directory is there")

func (c *container) sameMount(m run.WatchMount) error {
	fd, _, err := c.scene.Root.LocateLink(m.Path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != m.Dev || st.Ino != m.Ino {
		return errOther
	}
	return nil
}

// mountsOn counts the mounts on each of the paths, in the namespace of init.
func (c *container) mountsOn(paths []string) map[string]int {
	b, err := c.scene.Root.Mounts()
	if err != nil {
		return nil
	}
	want := map[string]int{}
	for _, p := range paths {
		want[p] = 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if _, ok := want[inside.Unescape(f[4])]; ok {
			want[inside.Unescape(f[4])]++
		}
	}
	return want
}

// checkMounts notices mounts that came or went on locked paths without the
// system call being seen.
func (c *container) checkMounts() {
	if c.mounts == nil || c.scene.Root == nil {
		return
	}
	is := c.mountsOn(c.cfg.Locked)
	if is == nil || c.goingDown() {
		return
	}
	for p, n := range is {
		was, known := c.mounts[p]
		if n >= was {
			delete(c.missing, p)
		} else if !c.missingLong(p) {
			continue
		}
		ev := event.Event{Type: event.Umount, Path: p, Op: "umount", N: map[string]float64{"result": 0}}
		switch {
		case !known || n == was:
			continue
		case n > was:
			ev.Type, ev.Op = event.Mount, "mount"
		}
		c.mounts[p] = n
		c.scene.Stamp(&ev, "mounts", 0)
		c.judgeEvent(ev)
	}
}

// shutdownTime is how long a container that powers itself off may live on
// without its mounts: init takes them down first and is gone soon after.
const shutdownTime = 6 * time.Second

// missingLong reports whether a mount that nobody was seen to take away has
// been missing for longer than a shutdown takes.
func (c *container) missingLong(path string) bool {
	if c.missing == nil {
		c.missing = map[string]time.Time{}
	}
	since, known := c.missing[path]
	if !known {
		c.missing[path] = time.Now()
		return false
	}
	return time.Since(since) > shutdownTime
}

// flagsOff is what the status says of flags that were taken back.
const flagsOff = "off: container stopped"

// setFlags sets the immutable flag on what the session asks for.
func (c *container) setFlags(old run.Watch, first bool) {
	if !first && slices.Equal(old.Immutable, c.cfg.Immutable) && (c.status.Immutable != flagsOff || c.cfg.Thaw > old.Thaw) {
		return // a thaw may come after the end of what it thaws, and is no start
	}
	switch {
	case len(c.cfg.Immutable) == 0:
		c.status.Immutable = "off: not asked for"
	case c.d.DryRun:
		c.status.Immutable = "off: dry run"
	case c.cfg.Endcheck:
		c.status.Immutable = flagsOff
	default:
		if err := flags.Set(c.d.Home, c.name, c.cfg.Immutable); err != nil {
			c.status.Immutable = "off: " + err.Error()
			c.d.logf("%s: immutable flags: %v", c.name, err)
			return
		}
		c.status.Immutable = "set"
	}
}

// clearFlags takes the flags back: nobody inside can write any more, and the
// user must be able to.
func (c *container) clearFlags() {
	if err := flags.Clear(c.d.Home, c.name, c.d.lives); err != nil {
		c.status.Immutable = "set: " + err.Error()
		c.d.logf("%s: clear immutable flags: %v", c.name, err)
		return
	}
	if c.status.Immutable == "set" {
		c.status.Immutable = flagsOff
	}
}

// lives reports whether a container of that name runs or is about to.
func (d *Daemon) lives(name string) bool {
	var w run.Watch
	return run.Read(d.Home.Run(name+run.WatchFile), &w) == nil && !w.Endcheck
}

// endCheck does what the user has no right to do in the workspace of a
// stopped container.
func (c *container) endCheck(w run.Watch) {
	c.lookForGroup()
	if c.group != nil && c.group.Populated() {
		c.status.Endcheck = "not verified: the container still runs"
		return
	}
	c.clearFlags()
	if w.Source == "" {
		c.status.Endcheck = "done"
		return
	}
	since := c.armedAt
	var s run.Session
	if run.Read(c.d.Home.Run(c.name+run.SessionFile), &s) == nil && !s.CreatedAt.IsZero() {
		since = s.CreatedAt
	}
	var st unix.Stat_t
	if err := unix.Lstat(w.Source, &st); err != nil {
		c.status.Endcheck = "not verified: " + err.Error()
		return
	}
	r, err := endcheck.Check(w.Source, since, int(st.Uid), int(st.Gid))
	c.status.Endcheck = "done"
	if err != nil {
		c.status.Endcheck = "not verified: " + err.Error()
	}
	for i, p := range r.Bits {
		if i >= 20 {
			break
		}
		f := detect.Finding{Rule: "protect.setid", Level: coi.High, Title: "setuid bit or capability on a file of the workspace taken away", Path: p, Op: "attrib"}
		ev := event.Event{Type: event.Attrib, Path: p, TS: time.Now().UTC()}
		c.resp.record(f, ev, "blocked")
	}
	if r.Owners > 0 {
		c.d.logf("%s: %s", c.name, fmt.Sprintf("%d files given to the user", r.Owners))
	}
}
