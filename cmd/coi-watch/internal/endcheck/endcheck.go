// Package endcheck does the part of the check at the end of a session that
// needs more rights than the user has: files that the container's root made in
// the workspace. It never leaves the workspace and follows no link.
package endcheck

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// MaxEntries is how many files are looked at; a larger workspace is told as
// not verified.
const MaxEntries = 2_000_000

// ErrTooMany is a workspace of more than MaxEntries files.
var ErrTooMany = errors.New("more than 2 million files")

// Report says what was changed.
type Report struct {
	Bits   []string // setuid, setgid or a file capability taken away
	Owners int      // files given to the user
}

var errReplaced = errors.New("replaced while it was looked at")

// checker walks one workspace.
type checker struct {
	since    time.Time
	uid, gid int
	seen     int
	report   Report
	errs     []error
}

// Check walks the workspace at dir. Files whose inode changed since then and
// that have a setuid or setgid bit or a capability lose it; files with one
// link that belong to somebody else than uid are given to uid.
func Check(dir string, since time.Time, uid, gid int) (Report, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return Report{}, fmt.Errorf("open %s: %w", dir, err)
	}
	c := &checker{since: since, uid: uid, gid: gid}
	err = c.dir(fd, ".", 0)
	return c.report, errors.Join(append(c.errs, err)...)
}

// maxDepth bounds the recursion; deeper trees are told.
const maxDepth = 256

// dir looks at a directory and closes fd.
func (c *checker) dir(fd int, name string, depth int) error {
	d := os.NewFile(uintptr(fd), name)
	defer func() { _ = d.Close() }()
	if depth > maxDepth {
		c.errs = append(c.errs, fmt.Errorf("%s: too deep", name)) // the rest is looked at all the same
		return nil
	}
	for {
		names, err := d.Readdirnames(1024)
		for _, n := range names {
			if c.seen++; c.seen > MaxEntries {
				return ErrTooMany
			}
			if err := c.entry(fd, n, path.Join(name, n), depth); err != nil {
				return err
			}
		}
		if len(names) == 0 || err != nil {
			return nil // io.EOF, or a directory that went away
		}
	}
}

func (c *checker) entry(dirfd int, base, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil //nolint:nilerr // it went away
	}
	isNew := !time.Unix(st.Ctim.Sec, st.Ctim.Nsec).Before(c.since)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		c.own(dirfd, base, name, st, isNew)
		sub, err := unix.Openat2(dirfd, base, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
		})
		if errors.Is(err, unix.EXDEV) {
			return nil // another mount of the host: no container saw it through the workspace
		}
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
			return nil
		}
		return c.dir(sub, name, depth+1)
	case unix.S_IFREG:
		if isNew {
			c.bits(dirfd, base, name, st)
		}
		c.own(dirfd, base, name, st, isNew && st.Nlink == 1)
	case unix.S_IFLNK:
		c.own(dirfd, base, name, st, isNew && st.Nlink == 1)
	}
	return nil
}

// bits takes away what would give rights to whoever runs the file. The file is
// held by a handle that opens nothing: in the place of what was looked at, a
// running container of the same workspace may have put a device or a FIFO.
func (c *checker) bits(dirfd int, base, name string, st unix.Stat_t) {
	fd, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return
	}
	var now unix.Stat_t
	if err == nil {
		defer func() { _ = unix.Close(fd) }()
		err = unix.Fstat(fd, &now)
	}
	if err == nil && (now.Dev != st.Dev || now.Ino != st.Ino || now.Mode&unix.S_IFMT != unix.S_IFREG) {
		err = errReplaced
	}
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		return
	}
	// Calls on O_PATH descriptors are younger than the kernels we support; the
	// magic link leads to the held file itself.
	held := fmt.Sprintf("/proc/self/fd/%d", fd)
	found := false
	if mode := now.Mode & 0o7777; mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		found = true
		if err := unix.Chmod(held, mode&^(unix.S_ISUID|unix.S_ISGID)); err != nil {
			c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if n, err := unix.Getxattr(held, "security.capability", nil); err == nil && n > 0 {
		found = true
		if err := unix.Removexattr(held, "security.capability"); err != nil {
			c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if found {
		c.report.Bits = append(c.report.Bits, name)
	}
}

// own gives what the container's root made to the user.
func (c *checker) own(dirfd int, base, name string, st unix.Stat_t, mine bool) {
	if !mine || int(st.Uid) == c.uid {
		return
	}
	if err := unix.Fchownat(dirfd, base, c.uid, c.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		return
	}
	c.report.Owners++
}
