// Package transfer copies files between the host and a container. The container
// is hostile: of what it offers only regular files and directories arrive, under
// names that stay inside the target, each written to a temporary name and
// renamed; links are neither followed nor made.
package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is the file system of a container.
type Tree interface {
	ReadDir(name string) ([]fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Open(name string) (io.ReadCloser, error)
	Mkdir(name string, mode fs.FileMode, uid int) error
	Write(name string, mode fs.FileMode, uid int, content io.Reader) error
}

var (
	// ErrDirectory says that a directory was asked for without recursion.
	ErrDirectory = errors.New("is a directory")
	errTarget    = errors.New("the target is a symbolic link")
)

// maxDepth, maxFiles and maxBytes bound a tree that a container shows. A file
// with holes costs the container nothing and would fill the host's disk; what
// the disk has left, without reserve, is the other bound.
const (
	maxDepth = 200
	maxFiles = 200_000
	maxBytes = 64 << 30
	reserve  = 256 << 20
)

// Result counts what arrived and what was left out.
type Result struct {
	Files, Links, Others, Setuid, Names int
}

// Skipped puts what was left out into words.
func (r Result) Skipped() []string {
	var out []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			out = append(out, "1 "+one)
		case n > 1:
			out = append(out, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(r.Links, "link skipped", "links skipped")
	add(r.Others, "special file skipped", "special files skipped")
	add(r.Setuid, "setuid bit dropped", "setuid bits dropped")
	add(r.Names, "name refused", "names refused")
	return out
}

// Pull copies a file, or with recursive a directory, of a container to local.
// An existing directory receives it inside; a trailing slash needs one. A
// missing source is an error that wraps fs.ErrNotExist; the target is untouched.
func Pull(door Tree, from, local string, recursive bool) (Result, error) {
	var res Result
	st, err := door.Lstat(from)
	switch {
	case err != nil:
		return res, err
	case st.IsDir() && !recursive:
		return res, ErrDirectory
	case st.Mode()&fs.ModeSymlink != 0:
		return res, fmt.Errorf("%s is a symbolic link", from)
	case !st.IsDir() && !st.Mode().IsRegular():
		return res, fmt.Errorf("%s is no regular file", from)
	}
	target, err := placeFor(local, path.Base(path.Clean(from)))
	if err != nil {
		return res, err
	}
	dir, err := openDir(filepath.Dir(target))
	if err != nil {
		return res, err
	}
	defer func() { _ = dir.Close() }()
	p := &puller{door: door, res: &res, left: maxBytes}
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &disk); err != nil {
		return res, err
	}
	p.left = max(0, min(p.left, int64(disk.Bavail)*disk.Bsize-reserve))
	return res, p.one(dir, filepath.Base(target), from, st, 0)
}

// placeFor is the path that a pulled thing gets.
func placeFor(local, base string) (string, error) {
	st, err := os.Lstat(strings.TrimRight(local, "/"))
	slash := strings.HasSuffix(local, "/")
	switch {
	case err != nil && slash:
		return "", fmt.Errorf("%s is no directory", local)
	case err != nil:
		return filepath.Clean(local), nil
	case st.Mode()&os.ModeSymlink != 0:
		return "", fmt.Errorf("%s: %w", local, errTarget)
	case st.IsDir():
		if base == "/" || base == "." {
			return "", errors.New("name a directory that does not exist yet for the whole of /")
		}
		return filepath.Join(local, base), nil
	case slash:
		return "", fmt.Errorf("%s is no directory", local)
	}
	return filepath.Clean(local), nil
}

func openDir(p string) (*os.File, error) {
	return os.OpenFile(p, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

type puller struct {
	door Tree
	res  *Result
	left int64 // bytes that may still arrive
	seen int   // entries of all directories
}

// ErrLarge says that a container offers more than the host takes.
var ErrLarge = errors.New("more than 64 GiB, or than this disk has room for")

// copy takes over the content of one file, which may be longer than it said.
func (p *puller) copy(to io.Writer, from io.Reader) error {
	// Large reads ask for many parts at once over SFTP; a bare file would take small ones.
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(from, p.left+1), make([]byte, 1<<20))
	if p.left -= n; err == nil && p.left < 0 {
		return ErrLarge
	}
	return err
}

// one writes one thing under base in dir.
func (p *puller) one(dir *os.File, base, from string, st fs.FileInfo, depth int) error {
	switch {
	case st.IsDir():
		return p.directory(dir, base, from, st, depth)
	case st.Mode().IsRegular():
		return p.file(dir, base, from, st)
	case st.Mode()&fs.ModeSymlink != 0:
		p.res.Links++
	default:
		p.res.Others++
	}
	return nil
}

func (p *puller) file(dir *os.File, base, from string, st fs.FileInfo) error {
	where := filepath.Join(dir.Name(), base)
	if st.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		p.res.Setuid++
	}
	var old unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), base, &old, unix.AT_SYMLINK_NOFOLLOW); err == nil && old.Mode&unix.S_IFMT != unix.S_IFREG {
		if old.Mode&unix.S_IFMT == unix.S_IFLNK {
			return fmt.Errorf("%s: %w", where, errTarget)
		}
		return fmt.Errorf("%s exists and is no regular file", where)
	}
	if st.Size() > p.left {
		return fmt.Errorf("%s: %w", from, ErrLarge)
	}
	content, err := p.door.Open(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer func() { _ = content.Close() }()
	if ok, err := regular(content); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	} else if !ok {
		p.res.Others++ // swapped for a device after the look
		return nil
	}
	tmp := fmt.Sprintf(".coi-%d-%d", os.Getpid(), p.res.Files)
	fd, err := unix.Openat(int(dir.Fd()), tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	f := os.NewFile(uintptr(fd), tmp)
	err = p.copy(f, content)
	if err == nil {
		err = f.Chmod(st.Mode().Perm() &^ 0o022)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), tmp, int(dir.Fd()), base)
	}
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), tmp, 0)
		return fmt.Errorf("%s: %w", where, err)
	}
	p.res.Files++
	return nil
}

// regular looks at what was opened, where the door lets it.
func regular(content io.ReadCloser) (bool, error) {
	h, ok := content.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return true, nil
	}
	st, err := h.Stat()
	return err == nil && st.Mode().IsRegular(), err
}

func (p *puller) directory(dir *os.File, base, from string, st fs.FileInfo, depth int) error {
	where := filepath.Join(dir.Name(), base)
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep", from, maxDepth)
	}
	if err := unix.Mkdirat(int(dir.Fd()), base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: %w", where, err)
	}
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	sub := os.NewFile(uintptr(fd), where)
	defer func() { _ = sub.Close() }()
	entries, err := p.door.ReadDir(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, e := range entries {
		name := e.Name()
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			p.res.Names++
			continue
		}
		if p.seen++; p.seen > maxFiles {
			return fmt.Errorf("%s: more than %d files", from, maxFiles)
		}
		if err := p.one(sub, name, path.Join(from, name), e, depth+1); err != nil {
			return err
		}
	}
	return sub.Chmod(st.Mode().Perm()&^0o022 | 0o700)
}
