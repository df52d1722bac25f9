package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath/swaptest"
)

// inside records what arrives in a container; up to cap bytes of each file.
type inside map[string]string

const seen = 64 << 10

func (in inside) Lstat(name string) (fs.FileInfo, error) {
	if v, ok := in[name]; ok && strings.HasPrefix(v, "dir") {
		return info{name, entry{mode: fs.ModeDir}}, nil
	}
	return nil, fs.ErrNotExist
}

func (in inside) ReadDir(string) ([]fs.FileInfo, error) { return nil, errors.New("not in this test") }
func (in inside) Open(string) (io.ReadCloser, error)    { return nil, errors.New("not in this test") }

func (in inside) Mkdir(name string, mode fs.FileMode, uid int) error {
	in[name] = fmt.Sprintf("dir %o %d", mode, uid)
	return nil
}

func (in inside) Write(name string, mode fs.FileMode, uid int, r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, seen))
	in[name] = fmt.Sprintf("%o %d %s", mode, uid, b)
	return err
}

// A tree arrives with its modes; links and special files stay behind and are counted.
func TestPushTree(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "d", name) }
	for _, err := range []error{
		os.MkdirAll(at("sub/empty"), 0o755), os.WriteFile(at("a"), []byte("hello"), 0o640), os.WriteFile(at("sub/run"), []byte("#!"), 0o755),
		os.Symlink("/etc/passwd", at("link")), os.Symlink("/etc", at("sub/dirlink")), os.Symlink(".", at("loop")), unix.Mkfifo(at("fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	in := inside{"/home/code": "dir"}
	res, err := Push(in, filepath.Join(dir, "d"), "d", "/home/code", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Result{Files: 2, Links: 3, Others: 1}); res != want {
		t.Errorf("Push = %+v; want %+v", res, want)
	}
	delete(in, "/home/code")
	want := inside{
		"/home/code/d": "dir 755 1000", "/home/code/d/a": "640 1000 hello", "/home/code/d/sub": "dir 755 1000", "/home/code/d/sub/empty": "dir 755 1000",
		"/home/code/d/sub/run": "755 1000 #!",
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
	in = inside{}
	if res, err := Push(in, at("a"), "a", "/home/code/b", 0); err != nil || res.Files != 1 || in["/home/code/b"] != "640 0 hello" {
		t.Errorf("one file: %+v, %v, %v", res, err, in)
	}
	for _, name := range []string{"fifo", "link", "missing"} {
		if _, err := Push(in, at(name), name, "/x", 0); err == nil {
			t.Errorf("%s was pushed", name)
		}
	}
	if _, err := Push(in, "/dev/zero", "zero", "/x", 0); err == nil {
		t.Error("a device was pushed")
	}
}

// R-INP-05: while an agent swaps what is in the directory for links to the
// host's files, FIFOs and the like, nothing of the host but that directory
// arrives, and no call hangs.
func TestPushWhileSwapped(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	swaptest.Loop(t, filepath.Join(dir, "d", "x"))
	files := 0
	swaptest.Times(t, 1500, func() {
		in := inside{}
		res, _ := Push(in, filepath.Join(dir, "d"), "d", "/w", 0)
		files += res.Files
		for name, v := range in {
			if strings.Contains(v, swaptest.Secret) {
				t.Errorf("%s holds a file of the host", name)
			}
		}
		if _, err := Push(in, filepath.Join(dir, "d", "x"), "x", "/y", 0); err == nil && strings.Contains(in["/y"], swaptest.Secret) {
			t.Error("the link was followed")
		}
	})
	if files == 0 {
		t.Error("nothing was ever pushed; the instrument does not work")
	}
}

// swapped is a container that shows a file and opens a device.
type swapped struct{ hostile }

type device struct{ io.Reader }

func (device) Close() error               { return nil }
func (device) Stat() (fs.FileInfo, error) { return info{"x", entry{mode: fs.ModeDevice}}, nil }

func (swapped) Open(string) (io.ReadCloser, error) {
	return device{strings.NewReader("of a device")}, nil
}

// R-INP-05: what was a file at the look and is a device when it is opened does
// not arrive.
func TestPullOfSwappedFile(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x")
	res, err := Pull(swapped{hostile{"/x": {mode: 0o644, text: "small"}}}, "/x", out, false)
	if err != nil || res.Others != 1 || res.Files != 0 {
		t.Errorf("Pull = %+v, %v; want one special file skipped", res, err)
	}
	if _, err := os.Lstat(out); err == nil {
		t.Error("the device arrived")
	}
}
