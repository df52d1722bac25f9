package inside

import (
	"bytes"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A mount that came or went is in the next reading, each time, however often
// nothing was asked in between. R-MON-09: the type of a file system decides
// whether it is touched, so it must not be an old answer.
func TestMountsAreNeverOld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "there")
	if err := unix.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread and its namespace end with this
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		var m mountTable
		defer m.close()
		sees := func(want bool) bool {
			text, err := m.read(unix.Gettid())
			if err != nil || bytes.Contains(text, []byte(dir)) != want {
				t.Errorf("mount in the table: %v, %v; want %v", !want, err, want)
				return false
			}
			return true
		}
		sees(false)
		for range 300 {
			if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched() // where a poller of the runtime would look
			if !sees(true) {
				return
			}
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched()
			if !sees(false) {
				return
			}
		}
	}()
	<-ended
}
