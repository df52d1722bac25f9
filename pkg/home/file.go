package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

type unixStat = syscall.Stat_t

// MaxFile is the largest file of ~/.coi that is read whole, in bytes.
const MaxFile = 16 << 20

// ErrUnsafe is wrapped by errors of files that are not what coi wrote: links,
// devices, foreign owners, files others may write, files over the cap.
var ErrUnsafe = errors.New("unsafe file")

// Open opens a regular file of the caller for reading, without following a
// link in the last part of the path. A missing file gives an error that wraps
// fs.ErrNotExist; a suspicious one wraps ErrUnsafe.
func Open(path string) (*os.File, error) { return open(path, os.O_RDONLY, os.Geteuid()) }

// OpenTrusted is Open for files that root may own as well, such as
// configuration put in place by an administrator.
func OpenTrusted(path string) (*os.File, error) { return open(path, os.O_RDONLY, os.Geteuid(), 0) }

// OpenRegular opens a file that anybody may own, links in its path followed,
// for reading. What is not a regular file is an error that wraps ErrUnsafe: a
// FIFO or a device in the file's place neither hangs nor feeds the caller.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrUnsafe)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w: not a regular file", path, ErrUnsafe)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadRegular is OpenRegular and ReadCapped.
func ReadRegular(path string, limit int64) ([]byte, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadCapped(f, limit)
}

// OpenAppend opens, or makes with mode 0600, a regular file of the caller for appending.
func OpenAppend(path string) (*os.File, error) {
	return open(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, os.Geteuid())
}

// OpenWrite opens, or makes with mode 0600, a regular file of the caller for
// reading and writing in place.
func OpenWrite(path string) (*os.File, error) {
	return open(path, os.O_RDWR|os.O_CREATE, os.Geteuid())
}

func open(path string, flag int, owners ...int) (*os.File, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hang the caller.
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, FileMode)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			return nil, fmt.Errorf("%s: %w: it is a symbolic link", path, ErrUnsafe)
		}
		return nil, err
	}
	if err := check(f, owners); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func check(f *os.File, owners []int) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", ErrUnsafe)
	}
	if st.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("%w: writable by everybody", ErrUnsafe)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		if slices.Contains(owners, int(sys.Uid)) {
			return nil
		}
		return fmt.Errorf("%w: belongs to uid %d", ErrUnsafe, sys.Uid)
	}
	return nil
}

// ReadFile reads a file opened by Open, at most MaxFile bytes of it; a larger
// file is an error that wraps ErrUnsafe.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadCapped(f, MaxFile)
}

// ReadCapped reads f to its end; more than limit bytes is an error that wraps ErrUnsafe.
func ReadCapped(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %w: over %d bytes", f.Name(), ErrUnsafe, limit)
	}
	return b, nil
}

// WriteFile replaces path atomically: a temporary file beside it, mode 0600,
// synced, renamed over it. The directory must exist.
func WriteFile(path string, data []byte) error {
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: not a regular file", path, ErrUnsafe)
	}
	return renameio.WriteFile(path, data, FileMode, renameio.WithStaticPermissions(FileMode))
}

// ReplaceFile is WriteFile without the sync: readers see the old or the new
// file, never a half one, but a power cut may lose it. It is for the files of
// ~/.coi/run, whose containers do not survive a power cut either.
func ReplaceFile(path string, data []byte) error {
	return Replace(path, func(w *os.File) error {
		_, err := w.Write(data)
		return err
	})
}

// Replace is ReplaceFile for content that is not in memory: write is given the
// new file. When it fails the old one stays.
func Replace(path string, write func(w *os.File) error) error {
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: not a regular file", path, ErrUnsafe)
	}
	t, err := os.CreateTemp(dirOf(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(t.Name()) }()
	if err := write(t); err != nil {
		_ = t.Close()
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}

func dirOf(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "/"
}

// ReadJSON reads a file of ~/.coi into v. Unknown fields are ignored; a
// schema_version above max is refused by name.
func ReadJSON(path string, max int, v any) error {
	b, err := ReadFile(path)
	if err != nil {
		return err
	}
	var head struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if head.SchemaVersion > max {
		return fmt.Errorf("%s: schema_version %d is newer than this program understands (%d)", path, head.SchemaVersion, max)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// WriteJSON replaces path by v as JSON with a final newline. sync as in
// WriteFile against ReplaceFile.
func WriteJSON(path string, v any, sync bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b = append(b, '\n')
	if sync {
		return WriteFile(path, b)
	}
	return ReplaceFile(path, b)
}

// Lock is a held flock. The file stays; only the lock goes.
type Lock struct{ f *os.File }

// ErrLocked is returned by TryLock when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// TryLock takes the lock file at path without waiting and writes our pid into it.
func TryLock(path string) (*Lock, error) {
	for {
		l, err := tryLock(path)
		if err != nil || l.there(path) {
			return l, err
		}
		l.Unlock() // it was removed between open and lock: the next one would lock another file
	}
}

func tryLock(path string) (*Lock, error) {
	f, err := open(path, os.O_RDWR|os.O_CREATE, os.Geteuid())
	if err != nil {
		return nil, err
	}
	if err := exclusive(int(f.Fd())); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &Lock{f}, nil
}

// there reports whether path still names the file that is locked.
func (l *Lock) there(path string) bool {
	mine, err := l.f.Stat()
	if err != nil {
		return true // the next use of it will say so
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(mine, now)
}

// lookers bounds the tries, a millisecond apart, at a lock that is shared.
const lookers = 1000

// exclusive takes the lock of a descriptor if nobody has it for himself. One
// who only looks (Held) shares it for an instant, which is no reason to fail: a
// guard would not start, and nobody would hold its lock.
func exclusive(fd int) error {
	for try := 0; ; try++ {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || try == lookers {
			return err
		}
		// Shared with lookers, it is nobody's; not to be had, it is somebody's.
		if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
			return err
		}
		if err := unix.Flock(fd, unix.LOCK_UN); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // a shared lock tells nobody that it is free
	}
}

// WaitLock is TryLock, tried again until the context ends.
func WaitLock(ctx context.Context, path string) (*Lock, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := TryLock(path)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// Holder is the pid written in a lock file, 0 when nobody wrote one.
func Holder(path string) int {
	b, err := ReadFile(path)
	if err != nil {
		return 0
	}
	var pid int
	_, _ = fmt.Sscan(string(b), &pid)
	return pid
}

// Held reports whether some process holds the lock at path.
func Held(path string) bool {
	f, err := Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return errors.Is(err, unix.EWOULDBLOCK)
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return false
}

// Fd is the locked descriptor, for handing the lock to a child process.
func (l *Lock) Fd() *os.File { return l.f }

// Unlock lets go.
func (l *Lock) Unlock() {
	if l != nil && l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}

// Missing reports whether err says that a file is not there.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
