package audit

import (
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
)

// reserveSize is the space kept on the disk for high and critical records.
const reserveSize = 1 << 20

func reservePath(h home.Home) string { return h.Audit(".reserve") }

// keepReserve makes the reserve, or makes it again when there is room. It is
// no error when that does not work: the disk may be full.
func keepReserve(h home.Home) {
	var st unix.Stat_t
	if unix.Lstat(reservePath(h), &st) == nil && st.Size == reserveSize {
		return
	}
	if freeBytes(h) < 2*reserveSize {
		return
	}
	f, err := openOwn(reservePath(h))
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if unix.Fallocate(int(f.Fd()), 0, 0, reserveSize) != nil {
		_ = f.Truncate(0)
	}
}

// freeReserve gives the space back to the disk. It reports whether it had any.
func freeReserve(h home.Home) bool {
	f, err := openOwn(reservePath(h))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	return err == nil && st.Size() > 0 && f.Truncate(0) == nil
}

// roomFor reports whether recs may be written. While the reserve is spent and
// the disk nearly full, what is left belongs to urgent records.
func (s *store) roomFor(recs []*Record) bool {
	var st unix.Stat_t
	if err := unix.Lstat(reservePath(s.home), &st); err != nil || st.Size > 0 {
		return true
	}
	if freeBytes(s.home) >= 2*reserveSize+int64(len(recs))*maxText {
		keepReserve(s.home)
		s.spent = false
		return true
	}
	return false
}

func freeBytes(h home.Home) int64 {
	var st unix.Statfs_t
	if unix.Statfs(h.Audit(), &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}
