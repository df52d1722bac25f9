package inotify

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
)

// What happens to marked objects is told in the words of fanotify, without a process.
func TestTellsWhatFanotifyWouldTell(t *testing.T) {
	dir := t.TempDir()
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	key, err := s.Mark(fd, fanotify.Changes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mark(fd, fanotify.Opens|unix.FAN_CLOSE_NOWRITE); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "id_ed25519")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	all := make(chan fanotify.Event, 64)
	go func() {
		_ = s.Read(func(batch []fanotify.Event) {
			for _, e := range batch {
				all <- e
			}
		})
		close(all)
	}()
	var got uint64
	for got&unix.FAN_DELETE == 0 {
		e := <-all
		if e.Dir != key || e.Name != "id_ed25519" || e.PID != 0 {
			t.Errorf("event %+v; want one of id_ed25519 in the marked directory", e)
		}
		got |= e.Mask
	}
	if want := uint64(unix.FAN_CREATE | unix.FAN_OPEN | unix.FAN_CLOSE_WRITE | unix.FAN_CLOSE_NOWRITE | unix.FAN_DELETE); got&want != want {
		t.Errorf("told %#x; want all of %#x", got, want)
	}
}

// A buffer that contradicts itself gives no event that was not there.
func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 'a', 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Sensor{keys: map[int32]fanotify.Key{1: "k"}, masks: map[fanotify.Key]uint32{}}
		for _, e := range s.parse(b) {
			if !e.Overflow && e.Dir != "k" && e.Object != "k" {
				t.Errorf("an event of nothing: %+v", e)
			}
		}
	})
}
