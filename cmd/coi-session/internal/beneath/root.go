// Package beneath works on a directory tree that hostile programs may have
// written. A Root is held by descriptor; every path is relative to it and is
// resolved by openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
// RESOLVE_NO_MAGICLINKS (Linux 5.6), so no link planted in the tree, at any
// moment, leads a call out of it or to another place inside it.
package beneath

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// ErrPath is returned for a path that is absolute, empty, or has "." or ".." parts.
var ErrPath = errors.New("not a relative path below the directory")

// Root is a directory that is kept open.
type Root struct {
	f    *os.File
	path string
}

// Open opens the directory at an absolute path none of whose parts is a link.
// Resolve links first where they are wanted.
func Open(dir string) (*Root, error) {
	f, err := OpenAbs(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &Root{f: f, path: filepath.Clean(dir)}, nil
}

// OpenAbs opens an absolute path without following any link in it. flags are
// those of open(2); O_CLOEXEC is added. O_PATH gives a descriptor that only
// identifies the file.
func OpenAbs(name string, flags uint64) (*os.File, error) {
	if !filepath.IsAbs(name) {
		return nil, &os.PathError{Op: "open", Path: name, Err: ErrPath}
	}
	fd, err := openat2(unix.AT_FDCWD, name, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openat2 tries again what a rename spoiled. EAGAIN comes when one elsewhere
// raced with a resolution that must stay beneath. EXDEV comes when what was
// found has been moved out of the tree before the resolution ended
// (complete_walk in fs/namei.c); without links and ".." nothing else leads out.
func openat2(dirfd int, name string, how *unix.OpenHow) (int, error) {
	for i := 0; ; i++ {
		fd, err := unix.Openat2(dirfd, name, how)
		moved := errors.Is(err, unix.EXDEV) && how.Resolve&unix.RESOLVE_NO_XDEV == 0
		if (moved || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)) && i < 100 {
			continue
		}
		return fd, err
	}
}

// Close lets go of the directory.
func (r *Root) Close() error { return r.f.Close() }

// Path is the absolute path that the root was opened by.
func (r *Root) Path() string { return r.path }

// Abs is the host path of rel, for messages and device sources.
func (r *Root) Abs(rel string) string { return filepath.Join(r.path, rel) }

// File is the descriptor of the root itself. It belongs to the Root.
func (r *Root) File() *os.File { return r.f }

// Clean checks a relative path: no leading slash, no empty part, no "." or
// "..", no control characters. One trailing slash is dropped.
func Clean(rel string) (string, error) {
	c := strings.TrimSuffix(rel, "/")
	if c == "" || strings.ContainsFunc(c, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", fmt.Errorf("%q: %w", rel, ErrPath)
	}
	for part := range strings.SplitSeq(c, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%q: %w", rel, ErrPath)
		}
	}
	return c, nil
}

func (r *Root) open(rel string, flags uint64, mode os.FileMode) (*os.File, error) {
	if rel == "" {
		rel = "."
	} else if err := safe(rel); err != nil {
		return nil, err
	}
	fd, err := openat2(int(r.f.Fd()), rel, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: uint64(mode.Perm()), Resolve: resolve})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: r.Abs(rel), Err: err}
	}
	return os.NewFile(uintptr(fd), r.Abs(rel)), nil
}

// safe refuses what Clean refuses, but for control characters: names found in
// a tree may hold any byte.
func safe(rel string) error {
	if rel == "" || rel[0] == '/' || path.Clean(rel) != rel || rel == ".." || strings.HasPrefix(rel, "../") || rel == "." {
		return fmt.Errorf("%q: %w", rel, ErrPath)
	}
	return nil
}

// Sub opens a directory of the tree as a root of its own.
func (r *Root) Sub(rel string) (*Root, error) {
	f, err := r.open(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{f: f, path: r.Abs(rel)}, nil
}

// Handle opens rel with O_PATH: whatever it is, even a link, it is identified
// and nothing of it is read. Only its parents must be free of links.
func (r *Root) Handle(rel string) (*os.File, error) {
	if rel == "" {
		return r.open(rel, unix.O_PATH, 0)
	}
	dir, base, err := r.parent(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: r.Abs(rel), Err: err}
	}
	return os.NewFile(uintptr(fd), r.Abs(rel)), nil
}

// parent opens the directory that holds rel.
func (r *Root) parent(rel string) (*os.File, string, error) {
	if err := safe(rel); err != nil {
		return nil, "", err
	}
	dir, base := path.Split(rel)
	f, err := r.open(strings.TrimSuffix(dir, "/"), unix.O_PATH|unix.O_DIRECTORY, 0)
	return f, base, err
}

// Stat is lstat of rel: a link is described, not followed.
func (r *Root) Stat(rel string) (Info, error) {
	f, err := r.Handle(rel)
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = f.Close() }()
	return StatFile(f)
}

// ReadFile reads a regular file of at most limit bytes. Anything else, or more,
// is an error; a FIFO does not hang it.
func (r *Root) ReadFile(rel string, limit int64) ([]byte, error) {
	f, err := r.OpenRegular(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: over %d bytes", r.Abs(rel), limit)
	}
	return b, nil
}

// ErrNotRegular is wrapped by errors of files that are links, devices, FIFOs or sockets.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file for reading.
func (r *Root) OpenRegular(rel string) (*os.File, error) {
	f, err := r.open(rel, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
			return nil, fmt.Errorf("%w: %w", err, ErrNotRegular)
		}
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", f.Name(), ErrNotRegular)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Readlink is the target of the link at rel.
func (r *Root) Readlink(rel string) (string, error) {
	f, err := r.Handle(rel)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: r.Abs(rel), Err: err}
	}
	return string(buf[:n]), nil
}

// Info is what is known of a file.
type Info struct {
	Mode     os.FileMode
	Dev, Ino uint64
	UID, GID int
	Nlink    uint64
	Size     int64
	ModTime  time.Time
	ChgTime  time.Time // ctime: changed by every write, chmod, chown and link; cannot be set
}

// Same reports whether two descriptions are of one file.
func (i Info) Same(o Info) bool { return i.Dev == o.Dev && i.Ino == o.Ino }

// StatFile describes an open file, O_PATH descriptors included.
func StatFile(f *os.File) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return info(&st), nil
}

func info(st *unix.Stat_t) Info {
	return Info{
		Mode: fileMode(st.Mode), Dev: st.Dev, Ino: st.Ino, UID: int(st.Uid), GID: int(st.Gid),
		Nlink: uint64(st.Nlink), Size: st.Size, ModTime: time.Unix(st.Mtim.Unix()), ChgTime: time.Unix(st.Ctim.Unix()), //nolint:unconvert // Nlink is 32 bits wide on arm64
	}
}

func fileMode(m uint32) os.FileMode {
	mode := os.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= os.ModeDir
	case unix.S_IFLNK:
		mode |= os.ModeSymlink
	case unix.S_IFIFO:
		mode |= os.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= os.ModeSocket
	case unix.S_IFCHR:
		mode |= os.ModeDevice | os.ModeCharDevice
	case unix.S_IFBLK:
		mode |= os.ModeDevice
	}
	if m&unix.S_ISUID != 0 {
		mode |= os.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		mode |= os.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		mode |= os.ModeSticky
	}
	return mode
}
