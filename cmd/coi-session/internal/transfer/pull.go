// Package transfer copies files between the host and a container. The container
// is hostile: of what it offers only regular files and directories arrive, under
// names that stay inside the target, each written to a temporary name and
// renamed; links are neither followed nor made.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// Door is what copying asks of Incus.
type Door interface {
	PullFile(ctx context.Context, name, file string) (io.ReadCloser, incus.FileInfo, error)
	PushFile(ctx context.Context, name, file string, info incus.FileInfo, content io.Reader) error
}

var (
	// ErrDirectory says that a directory was asked for without recursion.
	ErrDirectory = errors.New("is a directory")
	errTarget    = errors.New("the target is a symbolic link")
)

// maxDepth and maxFiles bound a tree that a container shows.
const (
	maxDepth = 200
	maxFiles = 200_000
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
// An existing directory receives it inside; a trailing slash needs one.
func Pull(ctx context.Context, door Door, name, from, local string, recursive bool) (Result, error) {
	var res Result
	content, info, err := door.PullFile(ctx, name, from)
	if err != nil {
		return res, err
	}
	defer closeIt(content)
	switch {
	case info.Type == "directory" && !recursive:
		return res, ErrDirectory
	case info.Type == "symlink":
		return res, fmt.Errorf("%s is a symbolic link", from)
	case info.Type != "file" && info.Type != "directory":
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
	p := &puller{ctx: ctx, door: door, name: name, res: &res}
	return res, p.one(dir, filepath.Base(target), from, content, info, 0)
}

func closeIt(c io.Closer) {
	if c != nil {
		_ = c.Close()
	}
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
	ctx  context.Context
	door Door
	name string
	res  *Result
}

// one writes one thing under base in dir.
func (p *puller) one(dir *os.File, base, from string, content io.ReadCloser, info incus.FileInfo, depth int) error {
	switch info.Type {
	case "directory":
		return p.directory(dir, base, from, info, depth)
	case "file":
		return p.file(dir, base, content, info)
	case "symlink":
		p.res.Links++
	default:
		p.res.Others++
	}
	return nil
}

func (p *puller) file(dir *os.File, base string, content io.Reader, info incus.FileInfo) error {
	if info.Mode&0o6000 != 0 {
		p.res.Setuid++
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return fmt.Errorf("%s: %w", filepath.Join(dir.Name(), base), errTarget)
		}
		return fmt.Errorf("%s exists and is no regular file", filepath.Join(dir.Name(), base))
	}
	tmp := fmt.Sprintf(".coi-%d-%d", os.Getpid(), p.res.Files)
	fd, err := unix.Openat(int(dir.Fd()), tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir.Name(), base), err)
	}
	f := os.NewFile(uintptr(fd), tmp)
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(os.FileMode(info.Mode) & 0o777 &^ 0o022)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), tmp, int(dir.Fd()), base)
	}
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), tmp, 0)
		return fmt.Errorf("%s: %w", filepath.Join(dir.Name(), base), err)
	}
	p.res.Files++
	return nil
}

func (p *puller) directory(dir *os.File, base, from string, info incus.FileInfo, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep", from, maxDepth)
	}
	if err := unix.Mkdirat(int(dir.Fd()), base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: %w", filepath.Join(dir.Name(), base), err)
	}
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir.Name(), base), err)
	}
	sub := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), base))
	defer func() { _ = sub.Close() }()
	for _, name := range info.Entries {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			p.res.Names++
			continue
		}
		if p.res.Files > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		if err := p.entry(sub, name, from, depth); err != nil {
			return err
		}
	}
	return sub.Chmod(os.FileMode(info.Mode)&0o777&^0o022 | 0o700)
}

func (p *puller) entry(sub *os.File, name, from string, depth int) error {
	child := path.Join(from, name)
	content, info, err := p.door.PullFile(p.ctx, p.name, child)
	if errors.Is(err, incus.ErrNotFound) {
		return nil // gone since it was listed
	}
	if err != nil {
		if p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		p.res.Others++ // devices and sockets cannot be read
		return nil
	}
	defer closeIt(content)
	return p.one(sub, name, child, content, info, depth+1)
}
