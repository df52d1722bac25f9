package home

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestFind(t *testing.T) {
	h, err := Find(env(map[string]string{"HOME": "/home/u"}))
	if err != nil || h.Dir != "/home/u/.coi" || h.Custom != "" || h.Prefix != "coi-" {
		t.Fatalf("Find = %+v, %v", h, err)
	}
	dir := t.TempDir()
	h, err = Find(env(map[string]string{"HOME": "/home/u", "COI_HOME": dir}))
	if err != nil || h.Dir != dir || h.Custom != dir {
		t.Fatalf("Find with COI_HOME = %+v, %v", h, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]map[string]string{
		"world-writable COI_HOME": {"HOME": "/home/u", "COI_HOME": dir},
		"relative COI_HOME":       {"HOME": "/home/u", "COI_HOME": "x"},
		"no HOME":                 {},
		"bad prefix":              {"HOME": "/home/u", "COI_CONTAINER_PREFIX": "X-"},
	} {
		var he *Error
		if _, err := Find(env(e)); !errors.As(err, &he) {
			t.Errorf("%s: Find error = %v; want *Error", name, err)
		}
	}
}

// R-OWN-04: directories get their mode back, and no link is one.
func TestEnsureCorrectsModes(t *testing.T) {
	h := Home{Dir: filepath.Join(t.TempDir(), "c"), UID: os.Geteuid()}
	if err := os.Mkdir(h.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fixed, err := h.Ensure(h.Run())
	if err != nil || len(fixed) != 1 || fixed[0] != h.Dir {
		t.Fatalf("Ensure = %v, %v; want the one corrected directory", fixed, err)
	}
	if _, err := h.Ensure("/etc/x"); err == nil {
		t.Error("Ensure made a directory outside")
	}
	if err := os.Symlink("/tmp", h.Path("logs")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ensure(h.Logs()); err == nil {
		t.Error("Ensure followed a link")
	}
}

// R-OWN-04: no link, nothing that others may write, no file of another owner.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	ok := filepath.Join(dir, "ok")
	if err := WriteFile(ok, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(ok); err != nil || string(b) != "x" {
		t.Fatalf("ReadFile = %q, %v", b, err)
	}
	link, open, sub := filepath.Join(dir, "link"), filepath.Join(dir, "open"), filepath.Join(dir, "sub")
	must(t, os.Symlink(ok, link), os.WriteFile(open, nil, 0o600), os.Chmod(open, 0o666), os.Mkdir(sub, 0o700))
	unsafe := []string{link, open, sub}
	if os.Geteuid() == 0 { // only root can give a file away
		foreign := filepath.Join(dir, "foreign")
		must(t, os.WriteFile(foreign, nil, 0o600), os.Chown(foreign, 12345, -1))
		unsafe = append(unsafe, foreign)
	}
	for _, p := range unsafe {
		if _, err := ReadFile(p); !errors.Is(err, ErrUnsafe) {
			t.Errorf("ReadFile(%s) error = %v; want ErrUnsafe", filepath.Base(p), err)
		}
	}
	if err := WriteFile(link, []byte("y")); !errors.Is(err, ErrUnsafe) {
		t.Errorf("WriteFile over a link = %v; want ErrUnsafe", err)
	}
}

func TestReadJSONRefusesNewer(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	must(t, WriteJSON(p, map[string]int{"schema_version": 2}, false))
	var v map[string]any
	if err := ReadJSON(p, 1, &v); err == nil {
		t.Error("a newer schema_version was read")
	}
	if err := ReadJSON(p, 2, &v); err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	p := filepath.Join(t.TempDir(), "l")
	l, err := TryLock(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(p); !errors.Is(err, ErrLocked) {
		t.Errorf("second TryLock = %v; want ErrLocked", err)
	}
	if !Held(p) || Holder(p) != os.Getpid() {
		t.Errorf("Held = %v, Holder = %d", Held(p), Holder(p))
	}
	l.Unlock()
	if Held(p) {
		t.Error("lock still held after Unlock")
	}
}

// Looking at a lock never keeps anybody from taking it: a guard that found its
// lock taken by a looker would not start.
func TestLockIsTakenWhileOthersLook(t *testing.T) {
	p := filepath.Join(t.TempDir(), "l")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					Held(p)
				}
			}
		})
	}
	for i := range 500 {
		l, err := TryLock(p)
		if err != nil {
			t.Errorf("try %d with others looking: %v", i, err)
			break
		}
		if !Held(p) {
			t.Errorf("try %d: not held", i)
		}
		l.Unlock()
	}
	close(done)
	wg.Wait()
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// R-OWN-03: only regular files are read, of anybody, through links, up to a
// size; nothing hangs.
func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	at := func(n string) string { return filepath.Join(dir, n) }
	sock, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sock.Close() }()
	for _, err := range []error{
		os.WriteFile(at("f"), []byte("text"), 0o666), os.Chmod(at("f"), 0o666), os.Symlink("f", at("link")), unix.Mkfifo(at("fifo"), 0o600),
		os.WriteFile(at("hole"), nil, 0o600), os.Truncate(at("hole"), 1<<40), os.Symlink("/dev/zero", at("zero")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"f", "link"} {
		if b, err := ReadRegular(at(n), 4); err != nil || string(b) != "text" {
			t.Errorf("%s = %q, %v", n, b, err)
		}
	}
	for _, n := range []string{"fifo", "socket", "hole", "zero", "."} {
		if b, err := ReadRegular(at(n), 4); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s = %q, %v; want ErrUnsafe", n, b, err)
		}
	}
	if _, err := ReadRegular(at("none"), 4); !Missing(err) {
		t.Errorf("missing file: %v", err)
	}
}

// A lock file that somebody removed between open and lock is nobody's: the next
// one would lock another file of that name.
func TestLockOfARemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	l, err := tryLock(path)
	if err != nil || !l.there(path) {
		t.Fatalf("tryLock = %v, there %v", err, l.there(path))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l.there(path) {
		t.Error("the removed file counts as the lock")
	}
	other, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Unlock()
	if l.there(path) {
		t.Error("another file of the name counts as the one that is locked")
	}
	l.Unlock()
}
