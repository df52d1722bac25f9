package fanotify

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pathFD(t *testing.T, p string) int {
	t.Helper()
	fd, err := unix.Open(p, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// T-W-10: a hard link to a marked file is seen, and so is a file moved over it.
func TestOpenBySecondNameAndAtomicReplaceAreSeen(t *testing.T) {
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(secret, other); err != nil {
		t.Fatal(err)
	}
	fileKey, err := s.Mark(pathFD(t, secret), unix.FAN_OPEN|Writes)
	if err != nil {
		t.Fatal(err)
	}
	dirKey, err := s.Mark(pathFD(t, dir), Changes)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan Event, 64)
	go func() {
		_ = s.Read(func(batch []Event) {
			for _, e := range batch {
				events <- e
			}
		})
	}()
	if _, err := os.ReadFile(other); err != nil {
		t.Fatal(err)
	}
	expect(t, events, "open by the other name", func(e Event) bool { return e.Mask&unix.FAN_OPEN != 0 && e.Object == fileKey && e.PID == os.Getpid() })
	tmp := filepath.Join(dir, "tmp")
	if err := os.WriteFile(tmp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, secret); err != nil {
		t.Fatal(err)
	}
	expect(t, events, "rename over it", func(e Event) bool { return e.Mask&unix.FAN_MOVED_TO != 0 && e.Dir == dirKey && e.Name == "secret" })
}

func expect(t *testing.T, events chan Event, what string, ok func(Event) bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case e := <-events:
			if ok(e) {
				return
			}
		case <-deadline:
			t.Fatalf("not seen: %s", what)
		}
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = Parse(b, func(Event) { n++ })
		if n > len(b)/metaSize {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}
