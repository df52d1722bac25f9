package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

// ID tells files apart, also a new one that got the inode number of one that
// was removed: by the time of birth, where the file system knows it.
type ID struct {
	major, minor uint32
	ino          uint64
	born         unix.StatxTimestamp
}

// IDOf is the ID of an open file.
func IDOf(f *os.File) (ID, error) { return statx(int(f.Fd()), "", unix.AT_EMPTY_PATH) }

// idOf is the ID of the file that has a name, of a link's target.
func idOf(path string) (ID, error) { return statx(unix.AT_FDCWD, path, 0) }

func statx(fd int, path string, flags int) (ID, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, path, flags, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return ID{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	id := ID{major: st.Dev_major, minor: st.Dev_minor, ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.born = st.Btime
	}
	return id, nil
}
