package incus

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// served is the file system of this machine as a container's would be, over a
// pipe, with a short patience.
func served(t *testing.T, wait time.Duration) *Files {
	t.Helper()
	ours, theirs := net.Pipe()
	server, err := sftp.NewServer(theirs)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve() }()
	client, err := sftp.NewClientPipe(ours, ours)
	if err != nil {
		t.Fatal(err)
	}
	f := &Files{client, func() bool { return true }, wait}
	t.Cleanup(func() { _, _ = f.Close(), ours.Close() })
	return f
}

// R-OWN-03: a FIFO that took a file's place after the look holds up no call for
// longer than the deadline, nor what comes after it.
func TestFilesEndInTime(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	for _, err := range []error{unix.Mkfifo(fifo, 0o600), os.WriteFile(file, []byte("text"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// The server of this test waits in open(2) until somebody writes.
	t.Cleanup(func() {
		if w, err := os.OpenFile(fifo, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			_ = w.Close()
		}
	})
	f := served(t, time.Minute)
	h, err := f.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(h)
	if st, err2 := h.(interface{ Stat() (fs.FileInfo, error) }).Stat(); err != nil || string(b) != "text" || err2 != nil || !st.Mode().IsRegular() {
		t.Fatalf("read %q, %v, %v; the instrument does not work", b, err, err2)
	}
	if err := errors.Join(h.Close(), f.Mkdir(filepath.Join(dir, "made"), 0o700, os.Getuid()), f.Write(filepath.Join(dir, "w"), 0o600, os.Getuid(), strings.NewReader("new"))); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "w")); err != nil || string(b) != "new" {
		t.Fatalf("wrote %q, %v", b, err)
	}
	f = served(t, 50*time.Millisecond)
	done := make(chan error, 2)
	go func() {
		_, err := f.Open(fifo)
		done <- err
		_, err = f.ReadDir(dir)
		done <- err
	}()
	for range 2 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("a call succeeded on a session that has ended")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("opening a FIFO hangs")
		}
	}
}

// The end of the context ends the session: Ctrl+C is obeyed in every call.
func TestFilesEndWithContext(t *testing.T) {
	f := served(t, time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	f.gone = context.AfterFunc(ctx, func() { _ = f.s.Close() })
	if _, err := f.Lstat("/"); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := f.s.Wait(); err == nil {
		t.Log("the session ended in order")
	}
	if _, err := f.Lstat("/"); err == nil {
		t.Error("a call succeeded after the end of the context")
	}
}
