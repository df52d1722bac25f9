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
