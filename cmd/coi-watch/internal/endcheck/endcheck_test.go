package endcheck

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The container's root planted a setuid file, and a link that leads outside.
func TestBitsAndOwners(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write := func(p string, mode uint32, uid int) {
		t.Helper()
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chown(p, uid, uid); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	victim := filepath.Join(outside, "victim")
	write(victim, 0o4755, 7)
	write(filepath.Join(dir, "planted"), 0o4755, 7)
	write(filepath.Join(dir, "plain"), 0o644, 1234)
	if err := os.Symlink(outside, filepath.Join(dir, "way-out")); err != nil {
		t.Fatal(err)
	}
	r, err := Check(dir, time.Now().Add(-time.Minute), 1234, 1234)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Bits) != 1 || r.Bits[0] != "planted" {
		t.Errorf("bits taken from %v; want planted", r.Bits)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "planted"), &st); err != nil || st.Mode&unix.S_ISUID != 0 || st.Uid != 1234 {
		t.Errorf("planted: mode %o uid %d, %v; want no setuid, uid 1234", st.Mode, st.Uid, err)
	}
	if err := unix.Stat(victim, &st); err != nil || st.Mode&unix.S_ISUID == 0 || st.Uid != 7 {
		t.Errorf("file outside was touched: mode %o uid %d, %v", st.Mode, st.Uid, err)
	}
}

// What was there before the session is not touched.
func TestOldFilesStay(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "old")
	if err := os.WriteFile(p, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(p, 0o4755); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(dir, time.Now().Add(time.Minute), 1234, 1234); err != nil || len(r.Bits)+r.Owners != 0 {
		t.Errorf("Check = %+v, %v; want nothing", r, err)
	}
}

// R-OWN-03: a tree that is too deep hides nothing that comes after it.
func TestDeepTreeHidesNothing(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "0")
	for range maxDepth + 10 {
		deep = filepath.Join(deep, "d")
	}
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"a", "z", "0/s", "0/d/s"}
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(p, 0o4755); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Check(dir, time.Now().Add(-time.Minute), os.Getuid(), os.Getgid())
	if err == nil || len(r.Bits) != len(names) {
		t.Errorf("bits taken from %v, %v; want %v and a word of the depth", r.Bits, err, names)
	}
}

// R-OWN-03: while another slot's container swaps setuid files for links, FIFOs
// and directories, the check ends in time and changes nothing outside.
func TestCheckWhileSwapped(t *testing.T) {
	dir, stock, outside := t.TempDir(), t.TempDir(), t.TempDir()
	victim, x := filepath.Join(outside, "victim"), filepath.Join(dir, "x")
	at := func(n string) string { return filepath.Join(stock, n) }
	for _, err := range []error{
		os.WriteFile(victim, nil, 0o600), unix.Chmod(victim, 0o4755), os.WriteFile(x, nil, 0o600), unix.Chmod(x, 0o4755), os.Symlink(victim, at("link")),
		os.Symlink(outside, at("dirlink")), unix.Mkfifo(at("fifo"), 0o4600), os.Mkdir(at("dir"), 0o700), os.WriteFile(at("dir/f"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, n := range []string{"link", "fifo", "dir", "dirlink"} {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, at(n), unix.AT_FDCWD, x, unix.RENAME_EXCHANGE)
				}
			}
		}
	}()
	found := 0
	for range 2000 {
		r, _ := Check(dir, time.Time{}, 4321, 4321)
		found += len(r.Bits) + r.Owners
	}
	close(stop)
	<-done
	if found == 0 {
		t.Error("nothing was ever changed; the instrument does not work")
	}
	var st unix.Stat_t
	if err := unix.Stat(victim, &st); err != nil || st.Mode&unix.S_ISUID == 0 || int(st.Uid) != os.Getuid() {
		t.Errorf("the file outside: mode %o uid %d, %v", st.Mode, st.Uid, err)
	}
}
