// Package fanotify is the file sensor: marks on inodes and directories tell
// who opened, wrote, made, moved or removed a file, by name, in whatever mount
// namespace and by whatever path it was reached. Marks on mounts are not used:
// a copied namespace or a bind mount escapes them.
package fanotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"sync"

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

// Sensor tells of marks on any file system. It is safe for concurrent use.
//
// Linux refuses (EXDEV) to mix objects of a btrfs subvolume with others in one
// notification group (fanotify_set_mark_fsid, 6.8; before that it refuses them
// all), and each container on btrfs is a subvolume of its own: so there is one
// group for each file system id.
type Sensor struct {
	mu     sync.Mutex
	groups map[fsid]*os.File
	spare  *os.File // proves that groups can be made; becomes the next one
	fresh  chan *os.File
	closed chan struct{}
}

// maxGroups is how many groups wait for Read at most.
const maxGroups = 256

// fsid is the file system id of statfs, which also starts every Key.
type fsid [8]byte

// Open makes the sensor. It needs CAP_SYS_ADMIN, and Linux 5.9 for names.
func Open() (*Sensor, error) {
	spare, err := group()
	if err != nil {
		return nil, err
	}
	return &Sensor{groups: map[fsid]*os.File{}, spare: spare, fresh: make(chan *os.File, maxGroups), closed: make(chan struct{})}, nil
}

func group() (*os.File, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS|
		unix.FAN_REPORT_FID|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	return os.NewFile(uintptr(fd), "fanotify"), nil
}

// Close ends all marks.
func (s *Sensor) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return
	default:
		close(s.closed)
	}
	for _, g := range s.groups {
		_ = g.Close()
	}
	if s.spare != nil {
		_ = s.spare.Close()
	}
}

// Mark adds to what is told about an object, given by an O_PATH descriptor,
// and returns the key under which its events come.
func (s *Sensor) Mark(fd int, mask uint64) (Key, error) {
	key, err := KeyOf(fd)
	if err != nil {
		return "", err
	}
	g, err := s.groupOf(key.fsid())
	if err != nil {
		return "", err
	}
	c, err := g.SyscallConn()
	if err != nil {
		return "", err
	}
	var merr error
	err = c.Control(func(group uintptr) {
		merr = unix.FanotifyMark(int(group), unix.FAN_MARK_ADD, mask, unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd))
	})
	return key, errors.Join(err, merr)
}

// groupOf is the group of a file system; a new one is handed to Read.
func (s *Sensor) groupOf(id fsid) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[id]; g != nil {
		return g, nil
	}
	g := s.spare
	if s.spare = nil; g == nil {
		var err error
		if g, err = group(); err != nil {
			return nil, err
		}
	}
	select {
	case s.fresh <- g:
	case <-s.closed:
		_ = g.Close()
		return nil, os.ErrClosed
	}
	s.groups[id] = g
	return g, nil
}

// Keep ends the groups of file systems of which no key is left: a user has no
// more than fs.fanotify.max_user_groups, 128.
func (s *Sensor) Keep(keys iter.Seq[Key]) {
	left := map[fsid]bool{}
	for k := range keys {
		left[k.fsid()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, g := range s.groups {
		if !left[id] {
			delete(s.groups, id)
			_ = g.Close()
		}
	}
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
	var id fsid
	binary.NativeEndian.PutUint32(id[:], uint32(st.Fsid.Val[0]))
	binary.NativeEndian.PutUint32(id[4:], uint32(st.Fsid.Val[1]))
	return keyOf(id[:], h.Bytes()), nil
}

func keyOf(id, handle []byte) Key { return Key(string(id) + string(handle)) }

func (k Key) fsid() (id fsid) {
	copy(id[:], k)
	return id
}

// Read waits for events and calls each with those that came together, until
// Close or until a group fails; each is called for several groups at once.
func (s *Sensor) Read(each func([]Event)) error {
	failed := make(chan error)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case g := <-s.fresh:
			wg.Go(func() {
				if err := read(g, each); err != nil {
					select {
					case failed <- err:
					case <-s.closed:
					}
				}
			})
		case err := <-failed:
			s.Close()
			return err
		case <-s.closed:
			return nil
		}
	}
}

func read(g *os.File, each func([]Event)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := g.Read(buf)
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
