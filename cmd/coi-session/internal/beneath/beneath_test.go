package beneath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath/swaptest"
)

func tree(t *testing.T) (*Root, string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// R-PATH-01, T-REPO: no call follows a link, wherever in the path it is.
func TestNoLinkIsFollowed(t *testing.T) {
	r, dir := tree(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "f"), []byte("host"), 0o600),
		os.Mkdir(filepath.Join(dir, "d"), 0o700),
		os.WriteFile(filepath.Join(dir, "d/f"), []byte("tree"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink("d", filepath.Join(dir, "in")),
		os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "file")))
	if b, err := r.ReadFile("d/f", 10); err != nil || string(b) != "tree" {
		t.Fatalf("ReadFile(d/f) = %q, %v; the instrument does not work", b, err)
	}
	for _, p := range []string{"out/f", "in/f", "file"} {
		if b, err := r.ReadFile(p, 10); err == nil {
			t.Errorf("ReadFile(%s) = %q; want an error", p, b)
		}
		if p == "file" {
			continue
		}
		for what, err := range map[string]error{
			"WriteNew": r.WriteNew(p+"2", nil, 0o600), "Mkdir": r.Mkdir(p+"3", 0o700), "Remove": r.Remove(p),
			"Move": r.Move(p, r, "moved"),
		} {
			if err == nil {
				t.Errorf("%s through %s succeeded", what, p)
			}
		}
	}
	if err := r.WriteNew("file", nil, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("WriteNew over a link = %v; want ErrExist", err)
	}
	if st, err := r.Stat("file"); err != nil || st.Mode&os.ModeSymlink == 0 {
		t.Errorf("Stat(link) = %v, %v", st.Mode, err)
	}
	if l, err := r.Readlink("in"); err != nil || l != "d" {
		t.Errorf("Readlink = %q, %v", l, err)
	}
}

func TestPathsAreChecked(t *testing.T) {
	r, _ := tree(t)
	for _, p := range []string{"..", "../x", "/etc/passwd", "a/../../x", "./x", "a//b"} {
		if _, err := r.Stat(p); err == nil {
			t.Errorf("Stat(%q) accepted", p)
		}
		if _, err := Clean(p); err == nil && p != "a" {
			t.Errorf("Clean(%q) accepted", p)
		}
	}
	for _, p := range []string{"", "a\nb", "a\x7f", "."} {
		if _, err := Clean(p); err == nil {
			t.Errorf("Clean(%q) accepted", p)
		}
	}
	if p, err := Clean(".git/hooks/"); err != nil || p != ".git/hooks" {
		t.Errorf("Clean = %q, %v", p, err)
	}
}

func TestSpecialFilesDoNotHang(t *testing.T) {
	r, dir := tree(t)
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	if _, err := r.ReadFile("fifo", 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("ReadFile(fifo) = %v; want ErrNotRegular", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "big"), make([]byte, 20), 0o600))
	if _, err := r.ReadFile("big", 10); err == nil {
		t.Error("ReadFile read over its limit")
	}
}

func TestWalk(t *testing.T) {
	r, dir := tree(t)
	must(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o700), os.MkdirAll(filepath.Join(dir, "skip/x"), 0o700),
		os.WriteFile(filepath.Join(dir, "a/f"), nil, 0o600), os.Symlink("/etc", filepath.Join(dir, "a/l")))
	mnt := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o700), unix.Mount("tmpfs", mnt, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(mnt, unix.MNT_DETACH) })
	must(t, os.WriteFile(filepath.Join(mnt, "hidden"), nil, 0o600))
	var got []string
	walk := func(limit int) error {
		got = nil
		return r.Walk("", limit, func(e Entry) error {
			got = append(got, e.Path)
			if e.Path == "skip" {
				return ErrSkip
			}
			if st, err := e.Stat(); err != nil || st.Mode.Type() != e.Type {
				t.Errorf("Stat(%s) = %v, %v; want type %v", e.Path, st.Mode, err, e.Type)
			}
			return nil
		}, func(rel string, err error) { t.Errorf("unreadable %s: %v", rel, err) })
	}
	must(t, walk(100))
	if diff := cmp.Diff([]string{"a", "a/b", "a/b/c", "a/f", "a/l", "mnt", "skip"}, got); diff != "" {
		t.Error(diff)
	}
	if err := walk(3); !errors.Is(err, ErrTooMany) {
		t.Errorf("Walk over its limit = %v", err)
	}
}

func TestWalkTooDeep(t *testing.T) {
	r, dir := tree(t)
	must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxDepth+5)), 0o700))
	var cut int
	must(t, r.Walk("", 10000, func(Entry) error { return nil }, func(string, error) { cut++ }))
	if cut != 1 {
		t.Errorf("deep tree reported %d times; want 1", cut)
	}
}

// A file that is swapped between look and change stays as it is.
func TestChangeOnlyWhatWasSeen(t *testing.T) {
	r, dir := tree(t)
	f := filepath.Join(dir, "f")
	must(t, os.WriteFile(f, nil, 0o600))
	must(t, os.Chmod(f, 0o755|os.ModeSetuid))
	st, err := r.Stat("f")
	must(t, err, r.Chmod("f", st, 0o755))
	if now, _ := r.Stat("f"); now.Mode != 0o755 {
		t.Errorf("mode = %v after Chmod; want 0755", now.Mode)
	}
	must(t, os.Rename(f, f+"2"), os.Symlink("/etc/shadow", f))
	if r.Chmod("f", st, 0o777) == nil || r.Chown("f", st, 1, 1) == nil {
		t.Error("a replaced file was changed")
	}
	must(t, r.Remove("f"), os.WriteFile(f, nil, 0o600))
	if err := r.Chmod("f", st, 0o777); err == nil {
		t.Error("another file of that name was changed")
	}
}

func TestMoveAndRemoveAll(t *testing.T) {
	r, dir := tree(t)
	other, _ := tree(t)
	made, err := r.MkdirAll("x/y/z", 0o755)
	must(t, err, os.WriteFile(filepath.Join(dir, "x/y/f"), nil, 0o600))
	if diff := cmp.Diff([]string{"x", "x/y", "x/y/z"}, made); diff != "" {
		t.Error(diff)
	}
	must(t, r.Move("x/y", other, "q"), other.WriteNew("r", nil, 0o600))
	if err := r.Move("x", other, "r"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Move onto a file = %v; want ErrExist", err)
	}
	must(t, other.RemoveAll("q"), other.RemoveAll("q"))
	if _, err := other.Stat("q"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("RemoveAll left %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.MkdirAll("file/x", 0o755); err == nil {
		t.Error("MkdirAll went through a file")
	}
}

// R-PATH-01, R-OWN-03: a path that is swapped without pause for a link out of
// the tree, a directory, a FIFO, a socket or a file of holes gives its own
// content or an error, in time.
func TestSwappedWithoutPause(t *testing.T) {
	r, dir := tree(t)
	swaptest.Loop(t, filepath.Join(dir, "x"))
	read, inner := 0, 0
	swaptest.Times(t, 3000, func() {
		if b, err := r.ReadFile("x", 4096); err == nil {
			read++
			if string(b) != "plain" {
				t.Errorf("ReadFile(x) = %q", b)
			}
		}
		if b, err := r.ReadFile("x/inner", 4096); err == nil {
			inner++
			if string(b) != "plain" {
				t.Errorf("ReadFile(x/inner) = %q", b)
			}
		}
		err := r.Walk("", 100, func(e Entry) error {
			if e.Path != "x" && e.Path != "x/inner" {
				t.Errorf("walk met %s", e.Path)
			}
			return nil
		}, func(string, error) {})
		must(t, err)
	})
	if read == 0 || inner == 0 {
		t.Errorf("read %d files and %d in directories; the instrument does not work", read, inner)
	}
}

// R-OWN-03: a directory of more names than the walk may see is read in part,
// the same part each time, and List refuses it.
func TestHugeDirectory(t *testing.T) {
	r, dir := tree(t)
	for i := range 9000 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d", 8999-i)), nil, 0o600))
	}
	var got []string
	err := r.Walk("", 10, func(e Entry) error { got = append(got, e.Path); return nil }, func(string, error) {})
	if !errors.Is(err, ErrTooMany) || len(got) != 10 || got[0] != "00000" || got[9] != "00009" {
		t.Errorf("Walk saw %v, %v; want the first ten and ErrTooMany", got, err)
	}
	if all, err := r.List(""); err != nil || len(all) != 9000 || all[8999].Name() != "08999" {
		t.Errorf("List = %d entries, %v", len(all), err)
	}
}
