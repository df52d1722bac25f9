package marks

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

func TestHomes(t *testing.T) {
	got := Homes([]byte("root:x:0:0::/root:/bin/bash\ncode:x:1000:1000::/home/code:/bin/zsh\nwww:x:33:33::/var/www:/usr/sbin/nologin\nbad line\nodd:x:1:1::relative:/bin/sh\n"))
	if diff := cmp.Diff([]string{"/root", "/home/code"}, got); diff != "" {
		t.Errorf("Homes (-want +got):\n%s", diff)
	}
}

// R-MON-08, T-W-10: a credential is seen when it is opened, replaced, and when
// it did not exist at first.
func TestFilesOfAContainer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/passwd": "code:x:1000:1000::/home/code:/bin/sh\n", "etc/shadow": "x", "home/code/.bashrc": "", "ws/a/.env": "T=1"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := inside.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	sensor, err := fanotify.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sensor.Close)
	s := New(sensor)
	s.Arm(root, Want{Workspace: "/ws"})
	raw := make(chan fanotify.Event, 256)
	go func() {
		_ = sensor.Read(func(batch []fanotify.Event) {
			for _, e := range batch {
				raw <- e
			}
		})
	}()
	closed := func(int, string) (bool, int) { return false, 0 }
	expect := func(typ event.Type, path string) {
		t.Helper()
		deadline := time.After(5 * time.Second)
		for {
			select {
			case r := <-raw:
				for _, e := range s.Events(r, closed) {
					if e.Type == typ && e.Path == path {
						return
					}
				}
			case <-deadline:
				t.Fatalf("%s of %s not seen", typ, path)
			}
		}
	}
	read := func(name string) {
		t.Helper()
		if _, err := os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	read("etc/shadow")
	expect(event.Open, "/etc/shadow")
	read("ws/a/.env")
	expect(event.Open, "/ws/a/.env")

	if err := os.WriteFile(filepath.Join(dir, "etc/shadow+"), []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "etc/shadow+"), filepath.Join(dir, "etc/shadow")); err != nil {
		t.Fatal(err)
	}
	expect(event.Rename, "/etc/shadow")
	read("etc/shadow")
	expect(event.Open, "/etc/shadow") // the new inode is marked as well

	if err := os.MkdirAll(filepath.Join(dir, "home/code/.ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	expect(event.Create, "/home/code/.ssh")
	if err := os.WriteFile(filepath.Join(dir, "home/code/.ssh/id_ed25519"), []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(event.Write, "/home/code/.ssh/id_ed25519")
	read("home/code/.ssh/id_ed25519")
	expect(event.Open, "/home/code/.ssh/id_ed25519")
}

// Making a key is not reading it.
func TestWritingIsNotReading(t *testing.T) {
	s := New(nil)
	s.byKey["k"] = &target{path: "/home/code/.ssh/id", kind: file}
	ev := fanotify.Event{Mask: unix.FAN_OPEN | unix.FAN_CLOSE_WRITE, PID: 7, Object: "k"}
	for _, e := range s.Events(ev, func(int, string) (bool, int) { return false, 0 }) {
		if e.Type == event.Open {
			t.Error("an opening for writing was told as one for reading")
		}
	}
	ev.Mask = unix.FAN_OPEN
	if got := s.Events(ev, func(int, string) (bool, int) { return true, unix.O_WRONLY }); len(got) != 0 {
		t.Errorf("open for writing: %v", got)
	}
	if got := s.Events(ev, func(int, string) (bool, int) { return true, unix.O_RDONLY }); len(got) != 1 || got[0].Type != event.Open {
		t.Errorf("open for reading: %v", got)
	}
}
