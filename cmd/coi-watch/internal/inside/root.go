// Package inside reads files of a container from the host without ever being
// led astray: every step starts at a descriptor of the container's root, no
// link is followed by the kernel, only regular files of known file systems are
// read, and a read that hangs costs one worker and nothing else.
package inside

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
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
	for _, s := range strings.Split(path.Clean("/"+p), "/") {
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
	b, err := r.mounts.read(r.pid)
	if err != nil {
		return nil //nolint:nilerr // the process ended; the descriptor of its root and the time limit remain
	}
	kind, point := mountOf(b, name)
	if kind != "" && !readable[kind] {
		return fmt.Errorf("%w: %s is of type %s", ErrRefused, point, kind)
	}
	return nil
}

// Mounts is the text of mountinfo of the process, read again only when the
// kernel says that a mount came or went.
func (r *Root) Mounts() ([]byte, error) { return r.mounts.read(r.pid) }

// mountTable keeps the text of a mountinfo.
type mountTable struct {
	mu   sync.Mutex
	f    *os.File
	text []byte
}

func (m *mountTable) read(pid int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f == nil {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mountinfo")
		if err != nil {
			return nil, err
		}
		m.f = f
	} else {
		fds := []unix.PollFd{{Fd: int32(m.f.Fd()), Events: unix.POLLPRI}}
		if n, err := unix.Poll(fds, 0); n == 0 && err == nil && m.text != nil {
			return m.text, nil
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(m.f, 0, 1<<20))
	if err == nil {
		m.text = b
	}
	return b, err
}

func (m *mountTable) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f != nil {
		_ = m.f.Close()
		m.f = nil
	}
}

// mountOf is the type of the file system that name lies on.
func mountOf(mountinfo []byte, name string) (kind, point string) {
	best := -1
	for _, line := range bytes.Split(mountinfo, []byte("\n")) {
		head, tail, ok := strings.Cut(string(line), " - ")
		f, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(f) < 5 || len(rest) < 1 {
			continue
		}
		p := Unescape(f[4])
		if p != "/" && p != name && !strings.HasPrefix(name, p+"/") {
			continue
		}
		if len(p) >= best { // later lines lie on top of earlier ones
			best, kind, point = len(p), rest[0], p
		}
	}
	return kind, point
}

// Unescape undoes the octal escapes of mountinfo.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Info is what is known of a file without reading it.
type Info struct {
	Path     string // after links
	Dev, Ino uint64
	Mode     uint32
	UID, GID int
	Nlink    uint64
	Size     int64
	Mtime    time.Time
	Ctime    int64 // seconds
}

func infoOf(st *unix.Stat_t, name string) Info {
	return Info{
		Path: name, Dev: st.Dev, Ino: st.Ino, Mode: st.Mode, UID: int(st.Uid), GID: int(st.Gid), Nlink: uint64(st.Nlink), Size: st.Size,
		Mtime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), Ctime: st.Ctim.Sec,
	}
}

// Stat looks at a path, links resolved.
func (r *Root) Stat(name string) (Info, error) {
	var in Info
	err := r.within(func() error {
		fd, p, err := r.Locate(name)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		in = infoOf(&st, p)
		return nil
	})
	return in, err
}

// Read reads at most limit bytes of a regular file, from offset on. The file's
// access time is left alone where the kernel allows it.
func (r *Root) Read(name string, offset, limit int64) (data []byte, in Info, err error) {
	type result struct {
		data []byte
		in   Info
	}
	var got result
	err = r.within(func() error {
		fd, p, err := r.Locate(name)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		data, in, err := readFd(fd, p, offset, limit)
		got = result{data, in}
		return err
	})
	if errors.Is(err, ErrSlow) {
		return nil, Info{}, err // the worker may still write its result
	}
	return got.data, got.in, err
}

func readFd(fd int, name string, offset, limit int64) ([]byte, Info, error) {
	f, in, err := reopen(fd, name)
	if err != nil {
		return nil, in, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.NewSectionReader(f, offset, limit))
	return data, in, err
}

// reopen opens for reading what an O_PATH descriptor names, if it is a regular file.
func reopen(fd int, name string) (*os.File, Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, Info{}, err
	}
	in := infoOf(&st, name)
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, in, fmt.Errorf("%w: %s is not a regular file", ErrRefused, name)
	}
	self := "/proc/self/fd/" + strconv.Itoa(fd)
	rfd, err := unix.Open(self, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) { // O_NOATIME is for the owner
		rfd, err = unix.Open(self, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, in, err
	}
	return os.NewFile(uintptr(rfd), name), in, nil
}

// Sum is the SHA-256 of a regular file of at most limit bytes, in hex.
func (r *Root) Sum(name string, limit int64) (string, Info, error) {
	type result struct {
		sum string
		in  Info
	}
	var got result
	err := r.within(func() error {
		fd, p, err := r.Locate(name)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		f, in, err := reopen(fd, p)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if in.Size > limit {
			return fmt.Errorf("%w: %s is larger than %d bytes", ErrRefused, p, limit)
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.LimitReader(f, limit)); err != nil {
			return err
		}
		got = result{hex.EncodeToString(h.Sum(nil)), in}
		return nil
	})
	if err != nil {
		return "", Info{}, err
	}
	return got.sum, got.in, nil
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
