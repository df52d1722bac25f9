// Package swaptest plays the container that replaces a file of its workspace
// between two looks of the host, for the tests of what reads such files.
package swaptest

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Secret is the content of the host's file that the links lead to.
const Secret = "of the host"

// Loop replaces what is at path, without pause and by atomic exchanges, until
// the test ends: a small file, a link to a file outside, a link to the
// directory of that file, a directory, a FIFO that nobody writes, a socket, a
// file of a terabyte that is one hole. The path must be on the file system of
// the test's temporary directory.
func Loop(t testing.TB, path string) {
	t.Helper()
	top, err := os.MkdirTemp("", "swap-") // not t.TempDir: TMPDIR may have been set since its first call
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	outside, stock := filepath.Join(top, "outside"), filepath.Join(top, "stock")
	at := func(name string) string { return filepath.Join(stock, name) }
	secret := filepath.Join(outside, "inner")
	err3, err4 := os.Mkdir(outside, 0o700), os.Mkdir(stock, 0o700)
	sock, err := net.Listen("unix", at("socket"))
	hole, err2 := os.Create(at("hole"))
	for _, err := range []error{
		err, err2, err3, err4, hole.Truncate(1 << 40), hole.Close(), os.WriteFile(secret, []byte(Secret), 0o600), os.WriteFile(at("file"), []byte("plain"), 0o600),
		os.Symlink(secret, at("link")), os.Symlink(outside, at("dirlink")), os.Mkdir(at("dir"), 0o700), os.WriteFile(at("dir/inner"), []byte("plain"), 0o600),
		unix.Mkfifo(at("fifo"), 0o600), os.WriteFile(path, []byte("plain"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop, done := make(chan struct{}), sync.WaitGroup{}
	done.Go(func() {
		for {
			for _, name := range []string{"file", "link", "dir", "dirlink", "file", "fifo", "socket", "hole"} {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Renameat2(unix.AT_FDCWD, at(name), unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
					t.Errorf("exchange: %v", err)
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
		_ = sock.Close()
	})
}

// Times calls what again and again. No call may last longer than a few seconds,
// whatever lies at the path in that moment.
func Times(t testing.TB, n int, what func()) {
	t.Helper()
	for range n {
		done := make(chan struct{})
		go func() { defer close(done); what() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("a call hangs")
		}
	}
}
