// Package reflink keeps a copy of a workspace that shares its blocks, so that a
// snapshot of it costs nothing. It works only where both sides are one file
// system that can share blocks (btrfs, xfs); elsewhere it says so and copies
// nothing. Links are copied as links and never followed, not even one that a
// running container puts in a directory's place meanwhile; devices, FIFOs,
// sockets and what other mounts hold are left out.
package reflink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

// maxEntries is the largest workspace that is copied.
const maxEntries = 2_000_000

// Save copies the directory src to dst, which must not exist. No part of src
// may be a link. After an error nothing of dst is left.
func Save(src, dst string) error {
	from, err := beneath.Open(src)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := fresh(dst)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	if err := tree(from, "", to, ""); err != nil {
		_ = os.RemoveAll(dst)
		return err
	}
	return nil
}

// fresh makes a directory of ours and opens it.
func fresh(dir string) (*beneath.Root, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return ours(dir)
}

// ours opens a directory below ~/.coi, which may be reached through links of
// the user's.
func ours(dir string) (*beneath.Root, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	return beneath.Open(real)
}

// Restore puts a copy back in the place of what the directory dst holds, which
// is moved to the new directory kept before; it returns kept.
func Restore(src, dst, kept string) (string, error) {
	if !Exists(src) {
		return "", fmt.Errorf("the snapshot has no copy of the workspace")
	}
	from, err := ours(src)
	if err != nil {
		return "", err
	}
	defer func() { _ = from.Close() }()
	to, err := beneath.Open(dst)
	if err != nil {
		return "", err
	}
	defer func() { _ = to.Close() }()
	aside, err := fresh(kept)
	if err != nil {
		return "", err
	}
	defer func() { _ = aside.Close() }()
	entries, err := to.List("")
	if err != nil {
		return "", err
	}
	// The directory itself stays: it is mounted elsewhere and people stand in it.
	for _, e := range entries {
		if err := move(to, e.Name(), aside); err != nil {
			return kept, err
		}
	}
	return kept, tree(from, "", to, "")
}

// move takes one entry of the workspace aside. Another subvolume of one btrfs
// is another file system to rename(2), but shares blocks all the same.
func move(from *beneath.Root, name string, to *beneath.Root) error {
	err := from.Move(name, to, name)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	st, err := from.Stat(name)
	if err != nil {
		return err
	}
	if err := one(from, name, to, name, st); err != nil {
		return err
	}
	if st.Mode.IsDir() {
		if err := tree(from, name, to, name); err != nil {
			return err
		}
	}
	return from.RemoveAll(name)
}

// Exists reports whether there is a copy.
func Exists(dir string) bool {
	st, err := os.Lstat(dir)
	return err == nil && st.IsDir()
}

// Remove deletes a copy; a missing one is no error.
func Remove(dir string) error { return os.RemoveAll(dir) }

// tree copies what rel holds into a directory that is there.
func tree(from *beneath.Root, rel string, to *beneath.Root, under string) error {
	type made struct {
		path string
		st   beneath.Info
	}
	var dirs []made
	var unread error
	err := from.Walk(rel, maxEntries, func(e beneath.Entry) error {
		target := path.Join(under, strings.TrimPrefix(strings.TrimPrefix(e.Path, rel), "/"))
		st, err := e.Stat()
		if err = changed(err); err == nil {
			err = one(from, e.Path, to, target, st)
		}
		switch {
		case errors.Is(err, errChanged):
			return beneath.ErrSkip
		case err != nil:
			return err
		case st.Mode.IsDir():
			dirs = append(dirs, made{target, st})
		case e.Type.IsDir(): // was one when its name was read; nothing can be put below its copy
			return beneath.ErrSkip
		}
		return nil
	}, func(rel string, err error) {
		if !errors.Is(changed(err), errChanged) {
			unread = errors.Join(unread, fmt.Errorf("%s: %w", rel, err))
		}
	})
	// Last, since a directory may be closed to writing, and what is made in it
	// changes its time.
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = finish(to, dirs[i].path, dirs[i].st)
	}
	return errors.Join(err, unread)
}

var errChanged = errors.New("went away, or is another thing than a moment ago")

// changed marks the errors of a source that a running container replaces while
// it is read. They cost that one thing.
func changed(err error) error {
	for _, is := range []error{fs.ErrNotExist, beneath.ErrNotRegular, unix.ELOOP, unix.ENOTDIR, unix.EINVAL} {
		if errors.Is(err, is) {
			return fmt.Errorf("%w: %w", errChanged, err)
		}
	}
	return err
}

// one copies a single thing; of a directory only the name, open to us.
func one(from *beneath.Root, rel string, to *beneath.Root, target string, st beneath.Info) error {
	switch {
	case st.Mode.IsDir():
		return to.Mkdir(target, 0o700)
	case st.Mode&fs.ModeSymlink != 0:
		link, err := from.Readlink(rel)
		if err != nil {
			return changed(err)
		}
		return to.Symlink(link, target)
	case st.Mode.IsRegular():
		return clone(from, rel, to, target)
	}
	return nil
}

// finish gives a directory its mode, owner and time.
func finish(to *beneath.Root, rel string, was beneath.Info) error {
	st, err := to.Stat(rel)
	if err != nil {
		return err
	}
	_ = to.Chown(rel, st, was.UID, was.GID) // a user's own files need nothing
	if err := to.Chmod(rel, st, was.Mode.Perm()); err != nil {
		return err
	}
	return to.SetTime(rel, was.ModTime)
}

// clone shares the blocks of a file (FICLONE, Linux 4.5).
func clone(from *beneath.Root, rel string, to *beneath.Root, target string) error {
	in, err := from.OpenRegular(rel)
	if err != nil {
		return changed(err)
	}
	defer func() { _ = in.Close() }()
	st, err := beneath.StatFile(in)
	if err != nil {
		return err
	}
	out, err := to.Create(target, st.Mode.Perm())
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		return fmt.Errorf("no reflink from %s to %s: %w", from.Abs(rel), to.Abs(target), err)
	}
	_ = out.Chown(st.UID, st.GID)
	return to.SetTime(target, st.ModTime)
}
