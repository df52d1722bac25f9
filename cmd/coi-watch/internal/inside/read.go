package inside

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Info is what is known of a file without reading it.
type Info struct {
	Path     string // after links
	Dev, Ino uint64
	Mode     uint32
	UID, GID int
	Nlink    uint64
	Size     int64
	Mtime    time.Time
	Changed  time.Time // of the inode, which nobody inside can set
}

func infoOf(st *unix.Stat_t, name string) Info {
	return Info{
		Path: name, Dev: st.Dev, Ino: st.Ino, Mode: st.Mode, UID: int(st.Uid), GID: int(st.Gid), Nlink: uint64(st.Nlink), Size: st.Size, //nolint:unconvert // the type differs by architecture
		Mtime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), Changed: time.Unix(st.Ctim.Sec, st.Ctim.Nsec),
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
		if _, err := io.Copy(h, io.LimitReader(Yielding(f), limit)); err != nil {
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

// Yielding is a reader that lets other goroutines go first each time it is read:
// a long file is no reason for a verdict to come late.
func Yielding(r io.Reader) io.Reader { return yielding{r} }

type yielding struct{ from io.Reader }

func (y yielding) Read(p []byte) (int, error) {
	runtime.Gosched()
	return y.from.Read(p)
}
