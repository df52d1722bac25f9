package beneath

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Create makes a regular file that was not there and opens it for writing. The
// mode is set as given, whatever the umask. An existing name, a link included,
// is an error that wraps fs.ErrExist.
func (r *Root) Create(rel string, mode os.FileMode) (*os.File, error) {
	f, err := r.open(rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode.Perm()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// WriteNew is Create with content.
func (r *Root) WriteNew(rel string, data []byte, mode os.FileMode) error {
	f, err := r.Create(rel, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Mkdir makes one directory; an existing name is an error that wraps fs.ErrExist.
func (r *Root) Mkdir(rel string, mode os.FileMode) error {
	dir, base, err := r.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Mkdirat(int(dir.Fd()), base, uint32(mode.Perm())); err != nil {
		return &os.PathError{Op: "mkdir", Path: r.Abs(rel), Err: err}
	}
	return nil
}

// MkdirAll makes rel and its parents where they are missing and returns those
// that it made, parents first. A link or file on the way is an error.
func (r *Root) MkdirAll(rel string, mode os.FileMode) (made []string, err error) {
	for _, dir := range append(Parents(rel), rel) {
		err := r.Mkdir(dir, mode)
		if err == nil {
			made = append(made, dir)
			continue
		}
		if !errors.Is(err, os.ErrExist) {
			return made, err
		}
		st, err := r.Stat(dir)
		if err != nil {
			return made, err
		}
		if !st.Mode.IsDir() {
			return made, &os.PathError{Op: "mkdir", Path: r.Abs(dir), Err: unix.ENOTDIR}
		}
	}
	return made, nil
}

// Parents are the directories above rel inside the tree, topmost first.
func Parents(rel string) []string {
	var out []string
	for i := range len(rel) {
		if rel[i] == '/' {
			out = append(out, rel[:i])
		}
	}
	return out
}

// Remove removes a file, link, or empty directory.
func (r *Root) Remove(rel string) error {
	dir, base, err := r.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	err = unix.Unlinkat(int(dir.Fd()), base, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(dir.Fd()), base, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: r.Abs(rel), Err: err}
	}
	return nil
}

// RemoveAll removes rel and everything below it on the same mount. A missing
// rel is no error.
func (r *Root) RemoveAll(rel string) error {
	st, err := r.Stat(rel)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode.IsDir() {
		names, err := r.List(rel)
		if err != nil {
			return err
		}
		for _, e := range names {
			if err := r.RemoveAll(path.Join(rel, e.Name())); err != nil {
				return err
			}
		}
	}
	return r.Remove(rel)
}

// List reads a directory, in name order; one of over two million entries is
// ErrTooMany.
func (r *Root) List(rel string) ([]os.DirEntry, error) {
	f, err := r.open(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	entries, err := readDir(f, maxNames+1)
	if err == nil && len(entries) > maxNames {
		err = ErrTooMany
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Move renames rel to a name in another tree of the same file system. An
// existing target is an error that wraps fs.ErrExist; another file system one
// that wraps EXDEV.
func (r *Root) Move(rel string, to *Root, target string) error {
	from, base, err := r.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	dir, name, err := to.parent(target)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Renameat2(int(from.Fd()), base, int(dir.Fd()), name, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", r.Abs(rel), to.Abs(target), err)
	}
	return nil
}

// Chmod sets the mode of a file or directory that is not a link. The file is
// reached through the given description, so that a swap in between is an error.
func (r *Root) Chmod(rel string, want Info, mode os.FileMode) error {
	return r.onHandle(rel, want, func(name string) error { return unix.Chmod(name, unixMode(mode)) })
}

// Chown gives rel to uid and gid; -1 leaves one as it is. As Chmod. The kernel
// drops setuid and setgid bits and file capabilities on the way.
func (r *Root) Chown(rel string, want Info, uid, gid int) error {
	return r.onHandle(rel, want, func(name string) error { return unix.Chown(name, uid, gid) })
}

// DropCapability removes file capabilities (security.capability).
func (r *Root) DropCapability(rel string, want Info) error {
	return r.onHandle(rel, want, func(name string) error { return unix.Removexattr(name, "security.capability") })
}

// Capability reports whether a file carries file capabilities.
func (r *Root) Capability(rel string, want Info) bool {
	var found bool
	_ = r.onHandle(rel, want, func(name string) error {
		n, err := unix.Getxattr(name, "security.capability", nil)
		found = err == nil && n > 0
		return nil
	})
	return found
}

// onHandle calls fn with a /proc/self/fd name: the calls on O_PATH descriptors
// that this needs (fchmodat2 and friends) are younger than the kernels we
// support, and the magic link leads to the opened file itself.
func (r *Root) onHandle(rel string, want Info, fn func(name string) error) error {
	f, err := r.Handle(rel)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	got, err := StatFile(f)
	if err != nil {
		return err
	}
	if !got.Same(want) || got.Mode&os.ModeSymlink != 0 {
		return fmt.Errorf("%s: replaced while it was looked at", r.Abs(rel))
	}
	if err := fn(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil {
		return &os.PathError{Op: "change", Path: r.Abs(rel), Err: err}
	}
	return nil
}

func unixMode(m os.FileMode) uint32 {
	u := uint32(m.Perm())
	for bit, flag := range map[os.FileMode]uint32{os.ModeSetuid: unix.S_ISUID, os.ModeSetgid: unix.S_ISGID, os.ModeSticky: unix.S_ISVTX} {
		if m&bit != 0 {
			u |= flag
		}
	}
	return u
}

// Below reports whether p is dir or lies in it; both are clean paths of one kind.
func Below(p, dir string) bool {
	return p == dir || dir == "" || dir == "/" && strings.HasPrefix(p, "/") || strings.HasPrefix(p, dir+"/")
}

// Symlink makes a link that was not there. target is any text.
func (r *Root) Symlink(target, rel string) error {
	dir, base, err := r.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Symlinkat(target, int(dir.Fd()), base); err != nil {
		return &os.PathError{Op: "symlink", Path: r.Abs(rel), Err: err}
	}
	return nil
}

// SetTime sets the modification time of rel; a link's own, not its target's.
func (r *Root) SetTime(rel string, mtime time.Time) error {
	dir, base, err := r.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime.UnixNano())}
	return unix.UtimesNanoAt(int(dir.Fd()), base, ts, unix.AT_SYMLINK_NOFOLLOW)
}
