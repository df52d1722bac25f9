// Package cgroup finds the control group of a container, freezes, thaws and
// kills what is in it and reads its counters. It speaks both hierarchies: the
// unified one, and the version 1 controllers of a hybrid host.
package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Layout is where the hierarchies of this host are mounted.
type Layout struct {
	Unified string            // mount point of cgroup2, empty on a host without
	V1      map[string]string // controller to mount point
}

// Detect reads the mounts of this process.
func Detect() (Layout, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, err
	}
	l := parse(data)
	if l.Unified == "" && l.V1["freezer"] == "" {
		return l, errors.New("no cgroup hierarchy is mounted")
	}
	return l, nil
}

func parse(mountinfo []byte) Layout {
	l := Layout{V1: map[string]string{}}
	s := bufio.NewScanner(bytes.NewReader(mountinfo))
	for s.Scan() {
		head, tail, ok := strings.Cut(s.Text(), " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(fields) < 5 || len(rest) < 3 {
			continue
		}
		switch rest[0] {
		case "cgroup2":
			if l.Unified == "" {
				l.Unified = fields[4]
			}
		case "cgroup":
			for o := range strings.SplitSeq(rest[2], ",") {
				l.V1[o] = fields[4]
			}
		}
	}
	return l
}

// PayloadName is the directory that liblxc makes for the processes of an
// instance; Incus puts the project in front of the name, except the default one.
func PayloadName(project, container string) string {
	if project == "" || project == "default" {
		return "lxc.payload." + container
	}
	return "lxc.payload." + project + "_" + container
}

// Parent is the directory in which payload directories appear and vanish.
func (l Layout) Parent() string {
	if l.Unified != "" {
		return l.Unified
	}
	return l.V1["freezer"]
}

// ID is the number of a cgroup directory in the unified hierarchy: its file
// handle, which is also what bpf_get_current_ancestor_cgroup_id returns.
func ID(dir string) (uint64, error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err != nil {
		return 0, fmt.Errorf("handle of %s: %w", dir, err)
	}
	b := h.Bytes()
	if len(b) < 8 {
		return 0, fmt.Errorf("handle of %s: %d bytes", dir, len(b))
	}
	var id uint64
	for i := 7; i >= 0; i-- {
		id = id<<8 | uint64(b[i])
	}
	return id, nil
}

// Group is the payload cgroup of one running container, with its control files
// held open, so that a response needs no lookup.
type Group struct {
	Name string
	ID   uint64 // 0 on a host without the unified hierarchy
	Dir  string // unified directory, or the one of the v1 freezer
	V1   map[string]string

	freezeV1 *os.File // freezer.state
	freezeV2 *os.File // cgroup.freeze
	events   *os.File // cgroup.events
	kill     *os.File // cgroup.kill, since 5.14
}

// Open finds the group of that name; an error that wraps fs.ErrNotExist means
// that the container does not run. Control files that cannot be opened are
// reported by Problem, the group is usable for everything else.
func (l Layout) Open(name string) (*Group, error) {
	g := &Group{Name: name, V1: map[string]string{}}
	for c, mount := range l.V1 {
		if dir := filepath.Join(mount, name); isDir(dir) {
			g.V1[c] = dir
		}
	}
	g.Dir = filepath.Join(l.Parent(), name)
	if _, err := os.Stat(g.Dir); err != nil {
		return nil, err
	}
	if l.Unified != "" {
		id, err := ID(g.Dir)
		if err != nil {
			return nil, err
		}
		g.ID = id
		g.kill, _ = os.OpenFile(filepath.Join(g.Dir, "cgroup.kill"), os.O_WRONLY, 0)
		g.events, _ = os.Open(filepath.Join(g.Dir, "cgroup.events"))
	}
	// Incus freezes by the v1 controller wherever one is mounted.
	if dir := g.V1["freezer"]; dir != "" {
		g.freezeV1, _ = os.OpenFile(filepath.Join(dir, "freezer.state"), os.O_RDWR, 0)
	} else if l.V1["freezer"] == "" {
		g.freezeV2, _ = os.OpenFile(filepath.Join(g.Dir, "cgroup.freeze"), os.O_RDWR, 0)
	}
	return g, nil
}

// Problem says what the group cannot do, empty when it can freeze.
func (g *Group) Problem() string {
	if g.freezeV1 == nil && g.freezeV2 == nil {
		return "no handle of the freezer: Incus freezes in its place, slower"
	}
	return ""
}

// Gone reports whether the directory was removed or is another one by now.
func (g *Group) Gone() bool {
	if g.ID == 0 {
		return !isDir(g.Dir)
	}
	id, err := ID(g.Dir)
	return err != nil || id != g.ID
}

// Close lets go of the control files.
func (g *Group) Close() {
	for _, f := range []*os.File{g.freezeV1, g.freezeV2, g.events, g.kill} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func isDir(p string) bool {
	st, err := os.Lstat(p)
	return err == nil && st.IsDir()
}
