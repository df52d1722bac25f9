// Package flags sets the immutable flag on protected files of a workspace and
// takes it back, whatever happens in between: what is to be flagged is written
// down and synced first.
package flags

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// maxPaths bounds one manifest.
const maxPaths = 100000

// Manifest is immutable-locks/<c>.json.
type Manifest struct {
	SchemaVersion int     `json:"schema_version"`
	Container     string  `json:"container"`
	BootID        string  `json:"boot_id"`
	Paths         []Entry `json:"paths"`
}

// Entry is one flagged object; device and inode keep another object of the
// same name from being touched.
type Entry struct {
	Path string `json:"path"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
}

func dir(h home.Home) string { return h.Path("immutable-locks") }

func file(h home.Home, container string) string { return filepath.Join(dir(h), container+".json") }

// Set flags the files and, recursively, the directories. The manifest is on
// the disk before the first flag is set. Paths that a file system cannot flag
// are named by the error; the others are flagged all the same.
func Set(h home.Home, container string, paths []string) error {
	if !coi.ValidContainer(container) {
		return fmt.Errorf("%q is no container name", container)
	}
	if _, err := h.Ensure(dir(h)); err != nil {
		return err
	}
	m := Manifest{SchemaVersion: run.Schema, Container: container, BootID: bootID()}
	for _, p := range paths {
		if err := collect(p, &m.Paths); err != nil {
			return err
		}
	}
	if err := home.WriteJSON(file(h, container), m, true); err != nil {
		return err
	}
	var errs []error
	for i := len(m.Paths) - 1; i >= 0; i-- { // what is inside comes before its folder
		if err := change(m.Paths[i], true); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("%s: %w", m.Paths[i].Path, err))
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return errors.Join(errs...)
}

// collect lists a path and everything below it, links left out.
func collect(p string, out *[]Entry) error {
	return filepath.WalkDir(p, func(name string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !d.IsDir() && !d.Type().IsRegular():
			return nil
		case len(*out) >= maxPaths:
			return fmt.Errorf("%s: more than %d files", p, maxPaths)
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		*out = append(*out, Entry{name, st.Dev, st.Ino})
		return nil
	})
}

// Clear takes the flags of a container back, except where the manifest of
// another container of living asks for the same object.
func Clear(h home.Home, container string, living func(string) bool) error {
	m, err := read(h, container)
	if home.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := map[Entry]bool{}
	names, err := run.Names(dir(h), ".json")
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == container || !living(n) {
			continue
		}
		if other, err := read(h, n); err == nil {
			for _, e := range other.Paths {
				kept[e] = true
			}
		}
	}
	var errs []error
	for _, e := range m.Paths {
		if !kept[e] {
			if err := change(e, false); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("%s: %w", e.Path, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err // the manifest stays: it is tried again
	}
	return os.Remove(file(h, container))
}

// Sweep clears the flags of all containers that are gone, and of an earlier
// boot of the machine.
func Sweep(h home.Home, living func(string) bool) error {
	names, err := run.Names(dir(h), ".json")
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		m, err := read(h, n)
		if err != nil || !living(n) || m.BootID != bootID() {
			errs = append(errs, Clear(h, n, living))
		}
	}
	return errors.Join(errs...)
}

func read(h home.Home, container string) (Manifest, error) {
	var m Manifest
	return m, home.ReadJSON(file(h, container), run.Schema, &m)
}

// change sets or clears the flag of one object, if it still is that object.
func change(e Entry, on bool) error {
	fd, err := open(e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != e.Dev || st.Ino != e.Ino {
		return nil
	}
	old, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags := old &^ uint32(immutable)
	if on {
		flags |= immutable
	}
	if flags == old {
		return nil
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags))
}

// open opens a path no part of which may be a link.
func open(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(unix.AT_FDCWD, path, &how)
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
