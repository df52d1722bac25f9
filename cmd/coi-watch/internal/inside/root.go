// Package inside reads files of a container from the host without ever being
// led astray: every step starts at a descriptor of the container's root, no
// link is followed by the kernel, only regular files of known file systems are
// read, and a read that hangs costs one worker and nothing else.
package inside

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of one read.
const (
	MaxLinks = 40
	MaxPath  = 4096
	Patience = 2 * time.Second
	MaxStuck = 3
)

// Errors of reading. ErrRefused is wrapped with the reason: not a regular
// file, a file system that is not read, too many links.
var (
	ErrRefused = errors.New("not read")
	ErrSlow    = errors.New("read takes too long")
	ErrStopped = errors.New("reading stopped: too many reads hang")
)

// readable are the file systems whose reads end. FUSE and network file systems
// may never answer; what is not listed is not touched.
var readable = map[string]bool{"ext4": true, "xfs": true, "btrfs": true, "zfs": true, "tmpfs": true, "overlay": true}

// Root is the root directory of a process, held open.
type Root struct {
	fd    int
	pid   int
	stuck atomic.Int32

	mounts mountTable
}

// Open takes hold of the root of a process. It stays usable when the process
// ends, as long as the mounts exist.
func Open(pid int) (*Root, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("root of process %d: %w", pid, err)
	}
	return &Root{fd: fd, pid: pid}, nil
}

// At uses an ordinary directory as root; for workspaces on the host and tests.
func At(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return &Root{fd: fd, pid: os.Getpid()}, nil
}

// IsHost reports whether the root is the one this program has itself: then the
// process is no container's, and nothing below may be touched in its name.
func (r *Root) IsHost() bool {
	var own, st unix.Stat_t
	if unix.Stat("/", &own) != nil || unix.Fstat(r.fd, &st) != nil {
		return true
	}
	return own.Dev == st.Dev && own.Ino == st.Ino
}

// Clone is a second hold of the same root, for a goroutine of its own.
func (r *Root) Clone() (*Root, error) {
	fd, err := unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd, pid: r.pid}, nil
}

// Fd is the O_PATH descriptor.
func (r *Root) Fd() int { return r.fd }

// Close lets go.
func (r *Root) Close() {
	_ = unix.Close(r.fd)
	r.mounts.close()
}

// Slow reports whether reading was given up because too many reads hang.
func (r *Root) Slow() bool { return r.stuck.Load() >= MaxStuck }

// Locate opens a path with O_PATH. Links are resolved here, step by step, each
// step from the root again; none is left to the kernel.
func (r *Root) Locate(name string) (fd int, resolved string, err error) {
	return r.locate(name, true)
}

// LocateLink is Locate without resolving a link in the last part.
func (r *Root) LocateLink(name string) (fd int, resolved string, err error) {
	return r.locate(name, false)
}

func (r *Root) locate(name string, last bool) (int, string, error) {
	if len(name) > MaxPath || strings.ContainsRune(name, 0) {
		return -1, "", fmt.Errorf("%w: path too long or with NUL", ErrRefused)
	}
	left := parts(name)
	done := "/"
	for links := 0; ; {
		fd, at, err := r.walk(done, left)
		if err != nil {
			return -1, "", err
		}
		if at == len(left) {
			final := path.Join(done, path.Join(left...))
			target, isLink := readlinkat(fd)
			if !isLink || !last {
				return fd, final, nil
			}
			_ = unix.Close(fd)
			done, left = path.Dir(final), parts(target)
			if strings.HasPrefix(target, "/") {
				done = "/"
			}
		} else {
			target, _ := readlinkat(fd)
			_ = unix.Close(fd)
			base := path.Join(done, path.Join(left[:at]...))
			rest := left[at+1:]
			left = append(parts(target), rest...)
			if done = base; strings.HasPrefix(target, "/") {
				done = "/"
			}
		}
		if links++; links > MaxLinks {
			return -1, "", fmt.Errorf("%w: more than %d links", ErrRefused, MaxLinks)
		}
		done, left = "/", parts(path.Join(done, path.Join(left...)))
	}
}

// walk opens base/left. When a part is a link it returns the link itself and
// its place in left.
func (r *Root) walk(base string, left []string) (fd, at int, err error) {
	full := path.Join(base, path.Join(left...))
	if err := r.check(full); err != nil {
		return -1, 0, err
	}
	fd, err = r.open(full, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil || !errors.Is(err, unix.ELOOP) {
		return fd, len(left), err
	}
	for i := range left {
		fd, err = r.open(path.Join(base, path.Join(left[:i+1]...)), unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return -1, 0, err
		}
		if _, isLink := readlinkat(fd); isLink {
			return fd, i, nil
		}
		_ = unix.Close(fd)
	}
	return -1, 0, unix.ELOOP
}

func parts(p string) []string {
	var out []string
	for s := range strings.SplitSeq(path.Clean("/"+p), "/") {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (r *Root) open(name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		name = "."
	}
	return unix.Openat2(r.fd, name, &how)
}

func readlinkat(fd int) (string, bool) {
	var b [MaxPath]byte
	n, err := unix.Readlinkat(fd, "", b[:])
	if err != nil {
		return "", false
	}
	return string(b[:n]), true
}

// check refuses a path that lies on a file system which is not read, before
// anything there is touched.
func (r *Root) check(name string) error {
	m, err := r.mounts.of(r.pid, name)
	if err != nil {
		return nil //nolint:nilerr // the process ended; the descriptor of its root and the time limit remain
	}
	if m.kind != "" && !readable[m.kind] {
		return fmt.Errorf("%w: %s is of type %s", ErrRefused, m.point, m.kind)
	}
	return nil
}

// within runs f in a worker of its own and gives it Patience. A worker that
// hangs is left behind; MaxStuck of them end all reading of this root.
func (r *Root) within(f func() error) error {
	if r.Slow() {
		return ErrStopped
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	t := time.NewTimer(Patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		r.stuck.Add(1)
		go func() {
			<-done
			r.stuck.Add(-1)
		}()
		return ErrSlow
	}
}

// Used is how full the file system of a directory is, in percent; 0 when it
// cannot be told.
func (r *Root) Used(name string) float64 {
	var st unix.Statfs_t
	err := r.within(func() error {
		fd, _, err := r.Locate(name)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		var got unix.Statfs_t
		err = unix.Fstatfs(fd, &got)
		st = got
		return err
	})
	if err != nil || st.Blocks == 0 {
		return 0
	}
	return 100 * float64(st.Blocks-st.Bavail) / float64(st.Blocks)
}
