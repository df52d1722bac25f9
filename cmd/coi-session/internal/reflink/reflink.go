// Package reflink keeps a copy of a workspace that shares its blocks, so that a
// snapshot of it costs nothing. It works only where both sides are one file
// system that can share blocks (btrfs, xfs); elsewhere it says so and copies
// nothing. Links are copied as links and never followed; devices are left out.
package reflink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Save copies the directory src to dst, which must not exist. After an error
// nothing of dst is left.
func Save(src, dst string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	if err := tree(src, dst); err != nil {
		_ = os.RemoveAll(dst)
		return err
	}
	return nil
}

// Restore puts a copy back in the place of the directory dst, whose content is
// moved to the directory kept before; it returns kept.
func Restore(src, dst, kept string) (string, error) {
	if !Exists(src) {
		return "", fmt.Errorf("the snapshot has no copy of the workspace")
	}
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dst)
	if err != nil {
		return "", err
	}
	// The directory itself stays: it is mounted elsewhere and people stand in it.
	for _, e := range entries {
		if err := move(filepath.Join(dst, e.Name()), filepath.Join(kept, e.Name())); err != nil {
			return kept, err
		}
	}
	return kept, tree(src, dst)
}

func move(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if st.IsDir() {
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		if err := tree(from, to); err != nil {
			return err
		}
	} else if err := one(from, to, st); err != nil {
		return err
	}
	return os.RemoveAll(from)
}

// Exists reports whether there is a copy.
func Exists(dir string) bool {
	st, err := os.Lstat(dir)
	return err == nil && st.IsDir()
}

// Remove deletes a copy; a missing one is no error.
func Remove(dir string) error { return os.RemoveAll(dir) }

func tree(src, dst string) error {
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil || rel == "." {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return one(p, filepath.Join(dst, rel), st)
	})
}

func one(from, to string, st fs.FileInfo) error {
	var err error
	switch {
	case st.IsDir():
		err = os.Mkdir(to, st.Mode().Perm())
	case st.Mode()&os.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			return os.Symlink(target, to)
		}
	case st.Mode().IsRegular():
		err = clone(from, to, st.Mode().Perm())
	default:
		return nil
	}
	if err != nil {
		return err
	}
	owner(to, st)
	return os.Chtimes(to, st.ModTime(), st.ModTime())
}

// owner keeps the owner where we may; a user's own files need nothing.
func owner(path string, st fs.FileInfo) {
	if sys, ok := st.Sys().(*unixStat); ok {
		_ = os.Lchown(path, int(sys.Uid), int(sys.Gid))
	}
}

// clone shares the blocks of a file (FICLONE, Linux 4.5).
func clone(from, to string, mode fs.FileMode) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		return fmt.Errorf("no reflink from %s to %s: %w", from, to, err)
	}
	return nil
}

type unixStat = syscall.Stat_t
