// Package fanotify is the file sensor: marks on inodes and directories tell
// who opened, wrote, made, moved or removed a file, by name, in whatever mount
// namespace and by whatever path it was reached. Marks on mounts are not used:
// a copied namespace or a bind mount escapes them.
package fanotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// What is asked of a mark.
const (
	Changes = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO | unix.FAN_CLOSE_WRITE | unix.FAN_ATTRIB |
		unix.FAN_DELETE_SELF | unix.FAN_MOVE_SELF | unix.FAN_EVENT_ON_CHILD | unix.FAN_ONDIR
	Opens  = unix.FAN_OPEN | unix.FAN_EVENT_ON_CHILD
	Writes = unix.FAN_CLOSE_WRITE | unix.FAN_ATTRIB | unix.FAN_DELETE_SELF | unix.FAN_MOVE_SELF
	Grows  = unix.FAN_MODIFY
)

// Event is one thing that happened to a marked object.
type Event struct {
	Mask     uint64
	PID      int
	Dir      Key    // directory of the name, zero if none was told
	Name     string // name in Dir, empty for the object itself
	Object   Key    // the object, zero if not told
	Overflow bool
}

// Key names an inode for good: file system and handle.
type Key string

// Sensor is one notification group. It is safe for concurrent use.
type Sensor struct {
	f *os.File
}

// Open makes the group. It needs CAP_SYS_ADMIN, and Linux 5.9 for names.
func Open() (*Sensor, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS|
		unix.FAN_REPORT_FID|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	return &Sensor{f: os.NewFile(uintptr(fd), "fanotify")}, nil
}

// Close ends all marks.
func (s *Sensor) Close() { _ = s.f.Close() }

// Mark adds to what is told about an object, given by an O_PATH descriptor,
// and returns the key under which its events come.
func (s *Sensor) Mark(fd int, mask uint64) (Key, error) {
	key, err := KeyOf(fd)
	if err != nil {
		return "", err
	}
	err = s.mark(unix.FAN_MARK_ADD, fd, mask)
	return key, err
}

// Unmark takes a mark back.
func (s *Sensor) Unmark(fd int, mask uint64) error { return s.mark(unix.FAN_MARK_REMOVE, fd, mask) }

func (s *Sensor) mark(how uint, fd int, mask uint64) error {
	c, err := s.f.SyscallConn()
	if err != nil {
		return err
	}
	var merr error
	err = c.Control(func(group uintptr) {
		merr = unix.FanotifyMark(int(group), how, mask, unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd))
	})
	return errors.Join(err, merr)
}

// KeyOf is the key of the object behind a descriptor.
func KeyOf(fd int) (Key, error) {
	h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return "", fmt.Errorf("file handle: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", err
	}
	var fsid [8]byte
	binary.NativeEndian.PutUint32(fsid[:], uint32(st.Fsid.Val[0]))
	binary.NativeEndian.PutUint32(fsid[4:], uint32(st.Fsid.Val[1]))
	return keyOf(fsid[:], h.Bytes()), nil
}

func keyOf(fsid, handle []byte) Key { return Key(string(fsid) + string(handle)) }

// Read waits for events and calls each with those that came together, until Close.
func (s *Sensor) Read(each func([]Event)) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := s.f.Read(buf)
		if err != nil {
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("fanotify: %w", err)
		}
		var batch []Event
		if err := Parse(buf[:n], func(e Event) { batch = append(batch, e) }); err != nil {
			return err
		}
		each(batch)
	}
}

// Sizes of struct fanotify_event_metadata and of the records behind it.
const (
	metaSize   = 24
	infoHeader = 4
	fidHeader  = 20 // header, fsid, handle_bytes, handle_type
)

// ErrFormat is a buffer that contradicts itself.
var ErrFormat = errors.New("fanotify: bad event")

// Parse splits a buffer into events.
func Parse(b []byte, each func(Event)) error {
	for len(b) >= metaSize {
		size, meta := int(binary.NativeEndian.Uint32(b)), int(binary.NativeEndian.Uint16(b[6:]))
		if size < metaSize || size > len(b) || meta < metaSize || meta > size {
			return ErrFormat
		}
		ev := Event{Mask: binary.NativeEndian.Uint64(b[8:]), PID: int(int32(binary.NativeEndian.Uint32(b[20:])))}
		ev.Overflow = ev.Mask&unix.FAN_Q_OVERFLOW != 0
		ev.infos(b[meta:size])
		each(ev)
		b = b[size:]
	}
	return nil
}

func (e *Event) infos(b []byte) {
	for len(b) >= infoHeader {
		kind, size := b[0], int(binary.NativeEndian.Uint16(b[2:]))
		if size < infoHeader || size > len(b) {
			return
		}
		e.info(kind, b[:size])
		b = b[size:]
	}
}

func (e *Event) info(kind byte, b []byte) {
	if len(b) < fidHeader {
		return
	}
	n := int(binary.NativeEndian.Uint32(b[12:]))
	if n < 0 || fidHeader+n > len(b) {
		return
	}
	key := keyOf(b[4:12], b[fidHeader:fidHeader+n])
	switch kind {
	case unix.FAN_EVENT_INFO_TYPE_FID:
		e.Object = key
	case unix.FAN_EVENT_INFO_TYPE_DFID:
		e.Dir = key
	case unix.FAN_EVENT_INFO_TYPE_DFID_NAME:
		e.Dir, e.Name = key, cstring(b[fidHeader+n:])
		if e.Name == "." {
			e.Name = ""
		}
	}
}

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
