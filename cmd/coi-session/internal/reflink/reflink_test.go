package reflink

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath/swaptest"
)

// shared is a directory on a file system that can share blocks: a small btrfs
// in a file of its own (as root, with mkfs.btrfs).
func shared(t *testing.T) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "fs")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 256<<20), os.Mkdir(dir, 0o700))
	for _, argv := range [][]string{{"mkfs.btrfs", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", argv, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	real, err := filepath.EvalSymlinks(dir)
	must(t, err)
	return real
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listing is every path below dir with its mode, time and content.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case st.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text = string(b)
		case st.Mode()&fs.ModeSymlink != 0:
			text, err = os.Readlink(p)
		}
		out[strings.TrimPrefix(p, dir)] = st.Mode().String() + " " + st.ModTime().UTC().Format(time.RFC3339) + " " + text
		return err
	}))
	return out
}

// cli.md 6.4: what a snapshot kept of the workspace comes back as it was, any
// number of times; what was there goes to the directory for it.
func TestSaveAndRestore(t *testing.T) {
	top := shared(t)
	at := func(parts ...string) string { return filepath.Join(append([]string{top}, parts...)...) }
	ws := at("ws")
	must(t, os.MkdirAll(at("ws", "sub", "closed"), 0o755), os.WriteFile(at("ws", "a"), []byte("one"), 0o640), os.WriteFile(at("ws", "sub", "closed", "f"), []byte("two"), 0o755),
		os.Symlink("/etc/passwd", at("ws", "link")), unix.Mkfifo(at("ws", "fifo"), 0o600), os.Chmod(at("ws", "sub", "closed"), 0o555))
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, p := range []string{"a", "sub/closed/f", "sub/closed", "sub"} {
		must(t, os.Chtimes(at("ws", p), old, old))
	}
	before := listing(t, ws)
	must(t, Save(ws, at("store", "c", "s1")))
	delete(before, "/fifo")
	for p := range before {
		if strings.HasPrefix(p, "/link") { // a link's own time is not kept
			before[p] = "link"
		}
	}
	same := func(dir string) {
		t.Helper()
		got := listing(t, dir)
		for p := range got {
			if strings.HasPrefix(p, "/link") {
				got[p] = "link"
			}
		}
		if diff := cmp.Diff(before, got); diff != "" {
			t.Errorf("%s:\n%s", dir, diff)
		}
	}
	same(at("store", "c", "s1"))
	if target, err := os.Readlink(at("store", "c", "s1", "link")); err != nil || target != "/etc/passwd" {
		t.Errorf("link leads to %q, %v", target, err)
	}
	for i, kept := range []string{at("kept", "1"), at("kept", "2")} {
		must(t, os.WriteFile(at("ws", "a"), []byte("changed"), 0o600), os.WriteFile(at("ws", "new"), []byte("new"), 0o600))
		got, err := Restore(at("store", "c", "s1"), ws, kept)
		if err != nil || got != kept {
			t.Fatalf("restore %d: %q, %v", i, got, err)
		}
		same(ws)
		if b, err := os.ReadFile(filepath.Join(kept, "new")); err != nil || string(b) != "new" {
			t.Errorf("kept: %q, %v", b, err)
		}
	}
	must(t, Remove(at("store", "c", "s1")), Remove(at("store", "c", "s1")))
	if Exists(at("store", "c", "s1")) {
		t.Error("the copy is still there")
	}
	if _, err := Restore(at("store", "c", "s1"), ws, at("kept", "3")); err == nil {
		t.Error("restored from a copy that is not there")
	}
	if b, err := os.ReadFile(at("ws", "a")); err != nil || string(b) != "one" {
		t.Errorf("after the failed restore: %q, %v", b, err)
	}
}

// cli.md 6.4: without reflinks there is an error, and nothing is left.
func TestNoReflink(t *testing.T) {
	top := shared(t)
	ws, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err, os.WriteFile(filepath.Join(ws, "a"), []byte("one"), 0o600))
	dst := filepath.Join(top, "store", "s")
	if err := Save(ws, dst); err == nil || !strings.Contains(err.Error(), "reflink") {
		t.Errorf("Save = %v; want a word of reflinks", err)
	}
	if Exists(dst) {
		t.Error("half a copy is left")
	}
}

// R-PATH-01: while an agent swaps a path of the workspace for links to the
// host's files and directories, FIFOs and sockets, the copy holds nothing of
// them, is made in time, and restoring writes nowhere else.
func TestSaveWhileSwapped(t *testing.T) {
	top := shared(t)
	t.Setenv("TMPDIR", top) // what is exchanged must be on one file system
	ws, store := filepath.Join(top, "ws"), filepath.Join(top, "store")
	must(t, os.MkdirAll(filepath.Join(ws, "d"), 0o700))
	x := filepath.Join(ws, "d", "x")
	swaptest.Loop(t, x)
	copies := 0
	swaptest.Times(t, 400, func() {
		if err := Save(ws, store); err != nil {
			t.Errorf("Save = %v", err)
			return
		}
		for _, p := range []string{"d/x", "d/x/inner"} {
			if st, err := os.Lstat(filepath.Join(store, "d/x")); err != nil || st.Mode()&fs.ModeSymlink != 0 {
				continue // the copy of a link
			}
			st, err := os.Lstat(filepath.Join(store, p))
			if err != nil || !st.Mode().IsRegular() || st.Size() > 100 {
				continue
			}
			copies++
			if b, err := os.ReadFile(filepath.Join(store, p)); err == nil && string(b) != "plain" {
				t.Errorf("the copy of %s holds %q", p, b)
			}
		}
		must(t, Remove(store))
	})
	if copies == 0 {
		t.Error("no file was ever copied; the instrument does not work")
	}
}
