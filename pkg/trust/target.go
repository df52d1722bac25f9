// Package trust is what stands between a project's wishes and the user's
// files: the items that need approval, what they point at right now, the
// fingerprint over both, and the store of approvals.
package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Types of a target.
const (
	Dir     = "directory"
	File    = "file"
	Socket  = "socket"
	Missing = "missing"
	Special = "special" // device, pipe
)

// Target is what a host path was when it was looked at: the absolute path
// without any link in it, and the object there. Dev and Ino are 0 when nothing
// is there.
type Target struct {
	Path string
	Type string
	Dev  uint64
	Ino  uint64
}

// ErrChanged is wrapped when the object at a path is another than before.
var ErrChanged = errors.New("changed since it was checked")

// Resolve looks at path, following links except the magic ones of /proc. The
// walk is one system call, so the answer belongs to one object. A missing
// path gives Missing with the last existing directory resolved; a link that
// points nowhere is an error.
func Resolve(path string) (Target, error) {
	f, err := openat2(unix.AT_FDCWD, path, unix.O_PATH, unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(path)
	}
	if err != nil {
		return Target{}, err
	}
	defer func() { _ = f.Close() }()
	return look(f)
}

func missing(path string) (Target, error) {
	if _, err := os.Lstat(path); err == nil {
		return Target{}, fmt.Errorf("%s: a link that points nowhere", path)
	}
	parent, base := filepath.Dir(path), filepath.Base(path)
	if parent == path {
		return Target{}, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	t, err := Resolve(parent)
	if err != nil {
		return Target{}, err
	}
	if t.Type != Dir && t.Type != Missing {
		return Target{}, fmt.Errorf("%s: %s is a %s", path, parent, t.Type)
	}
	return Target{Path: filepath.Join(t.Path, base), Type: Missing}, nil
}

// look describes the object of an open descriptor; its path is read from
// /proc/self/fd, where the kernel writes it without links.
func look(f *os.File) (Target, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return Target{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Target{}, fmt.Errorf("stat %s: %w", path, err)
	}
	if !filepath.IsAbs(path) || strings.HasSuffix(path, " (deleted)") {
		return Target{}, fmt.Errorf("%s: %w", f.Name(), ErrChanged)
	}
	return Target{Path: path, Type: typeOf(st.Mode), Dev: st.Dev, Ino: st.Ino}, nil
}

func typeOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFREG:
		return File
	case unix.S_IFSOCK:
		return Socket
	}
	return Special
}

// Open opens the target's object with O_PATH, through no link at all, and
// compares it: type always, device and inode for directories (files are
// replaced by editors). Keep the descriptor and compare what is mounted with
// it. A difference wraps ErrChanged.
func (t Target) Open() (*os.File, error) {
	f, err := openat2(unix.AT_FDCWD, t.Path, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: %w: a link is in its path now", t.Path, ErrChanged)
	}
	if err != nil {
		return nil, err
	}
	now, err := look(f)
	if err == nil && !t.Same(now) {
		err = fmt.Errorf("%s: %w", t.Path, ErrChanged)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Same reports whether two looks saw the same target, as Open compares it.
func (t Target) Same(o Target) bool {
	return t.Path == o.Path && t.Type == o.Type && (t.Type != Dir || t.Dev == o.Dev && t.Ino == o.Ino)
}

// Within reports whether path is dir or below it; both absolute and clean.
// Nothing is within an empty dir.
func Within(path, dir string) bool {
	if dir == "" {
		return false
	}
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// OpenBeneath opens a regular file below root for reading. No part of the
// walk leaves root, links that stay inside are followed.
func OpenBeneath(root, rel string) (*os.File, error) {
	return openRegular(root, rel, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
}

// OpenPlain is OpenBeneath without following any link.
func OpenPlain(root, rel string) (*os.File, error) {
	return openRegular(root, rel, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
}

func openRegular(root, rel string, resolve uint64) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer func() { _ = unix.Close(dir) }()
	// O_NONBLOCK: a FIFO in the file's place must not hang the caller.
	f, err := openat2(dir, rel, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, resolve)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return nil, fmt.Errorf("%s: not a regular file", filepath.Join(root, rel))
	}
	return f, nil
}

// openat2 tries again while a rename elsewhere makes the kernel give up on the walk.
func openat2(dir int, path string, flags int, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for range 128 {
		fd, err := unix.Openat2(dir, path, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: unix.EAGAIN}
}
