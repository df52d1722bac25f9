// Package inotify is the file sensor where fanotify is refused. It sees the same
// objects by the same marks, and cannot tell which process it was.
package inotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
)

// Sensor is one line of notifications. It is safe for concurrent use.
type Sensor struct {
	f *os.File

	mu    sync.Mutex
	keys  map[int32]fanotify.Key // by watch descriptor
	masks map[fanotify.Key]uint32
}

// Open makes the line. It needs no right, but each mark needs that to read the
// object, and counts against fs.inotify.max_user_watches.
func Open() (*Sensor, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return &Sensor{f: os.NewFile(uintptr(fd), "inotify"), keys: map[int32]fanotify.Key{}, masks: map[fanotify.Key]uint32{}}, nil
}

// Close ends all marks.
func (s *Sensor) Close() { _ = s.f.Close() }

// kinds are the events that both interfaces know; their bits are the same
// (linux/fanotify.h, linux/inotify.h).
const kinds = unix.IN_ALL_EVENTS

// Mark adds to what is told about an object, given by an O_PATH descriptor.
// mask is in the words of fanotify.
func (s *Sensor) Mark(fd int, mask uint64) (fanotify.Key, error) {
	key, err := fanotify.KeyOf(fd)
	if err != nil {
		return "", err
	}
	return key, s.set(fd, key, uint32(mask&kinds)|s.asked(key))
}

func (s *Sensor) asked(k fanotify.Key) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.masks[k]
}

func (s *Sensor) set(fd int, key fanotify.Key, mask uint32) error {
	c, err := s.f.SyscallConn()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var merr error
	err = c.Control(func(line uintptr) {
		wd, err := unix.InotifyAddWatch(int(line), "/proc/self/fd/"+strconv.Itoa(fd), mask)
		if err != nil {
			merr = fmt.Errorf("inotify: %w", err)
			return
		}
		s.keys[int32(wd)], s.masks[key] = key, mask
	})
	return errors.Join(err, merr)
}

// Keep takes back all marks but those of these keys.
func (s *Sensor) Keep(keys iter.Seq[fanotify.Key]) {
	left := map[fanotify.Key]bool{}
	for k := range keys {
		left[k] = true
	}
	c, err := s.f.SyscallConn()
	if err != nil {
		return // closed: all marks are gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = c.Control(func(line uintptr) {
		for wd, k := range s.keys {
			if !left[k] {
				// The kernel says IN_IGNORED, which parse takes as the end of it.
				_, _ = unix.InotifyRmWatch(int(line), uint32(wd))
			}
		}
	})
}

// Read waits for events and calls each with those that came together, until Close.
func (s *Sensor) Read(each func([]fanotify.Event)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.f.Read(buf)
		if err != nil {
			return fmt.Errorf("inotify: %w", err)
		}
		each(s.parse(buf[:n]))
	}
}

// parse splits a buffer into events. A name is that of an entry of the marked
// directory; without one the event is about the object itself.
func (s *Sensor) parse(b []byte) []fanotify.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fanotify.Event
	ne := binary.NativeEndian
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask, size := int32(ne.Uint32(b)), ne.Uint32(b[4:]), int(ne.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size < 0 || size > len(b) {
			return out
		}
		ev := fanotify.Event{Mask: uint64(mask &^ unix.IN_IGNORED), Overflow: mask&unix.IN_Q_OVERFLOW != 0, Name: unix.ByteSliceToString(b[:size])}
		b = b[size:]
		key, known := s.keys[wd]
		if mask&unix.IN_IGNORED != 0 {
			delete(s.keys, wd)
			delete(s.masks, key)
			continue
		}
		if ev.Name == "" {
			ev.Object = key
		} else {
			ev.Dir = key
		}
		if known || ev.Overflow {
			out = append(out, ev)
		}
	}
	return out
}
