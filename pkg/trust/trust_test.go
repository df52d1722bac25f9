package trust_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

func tree(t *testing.T, dirs ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	root := tree(t, "a/b")
	if err := os.WriteFile(root+"/a/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link(t, "a", root+"/l")
	link(t, "nowhere", root+"/dangling")
	for in, want := range map[string]trust.Target{
		"/a/b":      {Path: root + "/a/b", Type: trust.Dir},
		"/l/b":      {Path: root + "/a/b", Type: trust.Dir},
		"/l/f":      {Path: root + "/a/f", Type: trust.File},
		"/l/x/y":    {Path: root + "/a/x/y", Type: trust.Missing},
		"/a/b/../f": {Path: root + "/a/f", Type: trust.File},
	} {
		got, err := trust.Resolve(root + in)
		if want.Type != trust.Missing && got.Ino == 0 {
			t.Errorf("Resolve(%s) has no inode", in)
		}
		got.Dev, got.Ino = 0, 0
		if err != nil || got != want {
			t.Errorf("Resolve(%s) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"/dangling", "/a/f/x"} {
		if got, err := trust.Resolve(root + in); err == nil {
			t.Errorf("Resolve(%s) = %+v; want an error", in, got)
		}
	}
	if got, err := trust.Resolve("/proc/self/root"); err == nil {
		t.Errorf("a magic link resolves to %+v", got)
	}
	if got, err := trust.Resolve("/dev/null"); err != nil || got.Type != trust.Special {
		t.Errorf("/dev/null = %+v, %v", got, err)
	}
}

// R-TRU-02: what is opened later is the object that was looked at, or nothing.
func TestOpenFindsASwap(t *testing.T) {
	root := tree(t, "data", "other", "parent/data")
	target, err := trust.Resolve(root + "/data")
	if err != nil {
		t.Fatal(err)
	}
	f, err := target.Open()
	if err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	_ = f.Close()

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(root+"/data", root+"/old"))
	must(os.Rename(root+"/other", root+"/data"))
	if _, err := target.Open(); !errors.Is(err, trust.ErrChanged) {
		t.Errorf("another directory in its place: %v", err)
	}
	must(os.Rename(root+"/data", root+"/other"))
	link(t, "old", root+"/data")
	if _, err := target.Open(); !errors.Is(err, trust.ErrChanged) {
		t.Errorf("a link in its place: %v", err)
	}

	target, err = trust.Resolve(root + "/parent/data")
	must(err)
	must(os.Rename(root+"/parent", root+"/moved"))
	link(t, "moved", root+"/parent")
	if _, err := target.Open(); !errors.Is(err, trust.ErrChanged) {
		t.Errorf("a link above it: %v", err)
	}
}

// R-TRU-02: while links are swapped in a loop, what Open gives is never
// anything but the approved directory.
func TestSwapLoop(t *testing.T) {
	root := tree(t, "good", "secret")
	path := root + "/link"
	link(t, "good", path)
	good, err := trust.Resolve(root + "/good")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			tmp := root + "/tmp"
			if os.Symlink([]string{"good", "secret"}[n%2], tmp) != nil || os.Rename(tmp, path) != nil {
				return
			}
		}
	})
	sawGood, sawOther := 0, 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		t1, err := trust.Resolve(path)
		if err != nil {
			continue
		}
		if !good.Same(t1) {
			sawOther++
			continue // the fingerprint differs: not approved
		}
		f, err := t1.Open()
		if err != nil {
			continue
		}
		st, err := f.Stat()
		want, err2 := os.Stat(root + "/good")
		if err != nil || err2 != nil || !os.SameFile(st, want) {
			t.Fatal("something else was opened")
		}
		_ = f.Close()
		sawGood++
	}
	close(stop)
	wg.Wait()
	if sawGood == 0 || sawOther == 0 {
		t.Errorf("good %d, other %d: the race was not run", sawGood, sawOther)
	}
}

func TestOpenBeneath(t *testing.T) {
	root := tree(t, "in/dir")
	for _, f := range []string{"in/ok", "out"} {
		if err := os.WriteFile(filepath.Join(root, f), []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link(t, "ok", root+"/in/inner")
	link(t, "../out", root+"/in/outer")
	link(t, root+"/out", root+"/in/absolute")
	for rel, ok := range map[string]bool{"ok": true, "inner": true, "outer": false, "absolute": false, "../out": false, "dir": false, "missing": false} {
		f, err := trust.OpenBeneath(root+"/in", rel)
		if (err == nil) != ok {
			t.Errorf("OpenBeneath(%s) = %v; want ok %v", rel, err, ok)
		}
		if err == nil {
			_ = f.Close()
		}
	}
	if f, err := trust.OpenPlain(root+"/in", "inner"); err == nil {
		_ = f.Close()
		t.Error("OpenPlain follows a link")
	}
}

func item(kind, value string, target *trust.Target) trust.Item {
	return trust.Item{Kind: kind, Fields: []trust.Field{{Name: "host", Value: value}, {Name: "container", Value: "/mnt"}}, Target: target}
}

// Equal items in any order have one fingerprint; any other text or target has another.
func TestFingerprint(t *testing.T) {
	dir := &trust.Target{Path: "/a", Type: trust.Dir, Dev: 1, Ino: 2}
	a, b := item("mount", "~/a", dir), item("socket", "/s", nil)
	base := trust.Fingerprint([]trust.Item{a, b})
	if trust.Fingerprint([]trust.Item{b, a}) != base {
		t.Error("the order matters")
	}
	moved := a
	moved.Line, moved.Why, moved.Access = 99, "x", "y"
	if trust.Fingerprint([]trust.Item{moved, b}) != base {
		t.Error("the place in the file matters")
	}
	file := &trust.Target{Path: "/a", Type: trust.File, Dev: 1, Ino: 2}
	replaced := &trust.Target{Path: "/a", Type: trust.File, Dev: 1, Ino: 3}
	if trust.Fingerprint([]trust.Item{item("mount", "x", file)}) != trust.Fingerprint([]trust.Item{item("mount", "x", replaced)}) {
		t.Error("a file that an editor replaced is another")
	}
	stopped, running := &trust.Target{Path: "/s", Type: trust.Missing}, &trust.Target{Path: "/s", Type: trust.Socket, Dev: 1, Ino: 9}
	if trust.Fingerprint([]trust.Item{item("socket", "/s", stopped)}) != trust.Fingerprint([]trust.Item{item("socket", "/s", running)}) {
		t.Error("a socket whose program starts is another")
	}
	seen := map[string]string{base: "base"}
	for name, items := range map[string][]trust.Item{
		"less": {a}, "twice": {a, a, b}, "kind": {item("overlap", "~/a", dir), b}, "value": {item("mount", "~/a ", dir), b}, "no target": {item("mount", "~/a", nil), b},
		"path": {item("mount", "~/a", &trust.Target{Path: "/b", Type: trust.Dir, Dev: 1, Ino: 2}), b}, "inode": {item("mount", "~/a", &trust.Target{Path: "/a", Type: trust.Dir, Dev: 1, Ino: 3}), b},
		"device": {item("mount", "~/a", &trust.Target{Path: "/a", Type: trust.Dir, Dev: 2, Ino: 2}), b}, "type": {item("mount", "~/a", file), b}, "none": {},
		"quotes":   {item("mount", "\" container=\"/mnt", nil)},
		"newlines": {item("mount", "x\n\"socket\"", nil)},
	} {
		f := trust.Fingerprint(items)
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[f] = name
	}
}

func testHome(t *testing.T) home.Home {
	t.Helper()
	root := tree(t, "user")
	h, err := home.Find(func(n string) string { return map[string]string{"HOME": root + "/user"}[n] })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// S129: the store is ~/.coi/trust.toml, 0600, made by the first approval.
func TestStore(t *testing.T) {
	h := testHome(t)
	if s, err := trust.Load(h.Trust()); err != nil || len(s.Approvals) != 0 {
		t.Fatalf("missing store = %+v, %v", s, err)
	}
	want := trust.Approval{Fingerprint: "ab", ApprovedAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Items: []string{"mount \"x\" → /y\n"}}
	path := "/a \"b\"/.coi/config.toml"
	if err := trust.Update(h, func(s *trust.Store) error { s.Approvals[path] = want; return nil }); err != nil {
		t.Fatal(err)
	}
	s, err := trust.Load(h.Trust())
	if diff := cmp.Diff(want, s.Approvals[path]); err != nil || diff != "" {
		t.Errorf("store: %v\n%s", err, diff)
	}
	for path, mode := range map[string]os.FileMode{h.Trust(): 0o600, h.Dir: 0o700} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v; want %v", path, st.Mode(), err, mode)
		}
	}
	if err := os.WriteFile(h.Trust(), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trust.Update(h, func(*trust.Store) error { return nil }); err == nil {
		t.Error("a broken store is overwritten")
	}
}

// Two programs at once lose nothing.
func TestConcurrentUpdates(t *testing.T) {
	h := testHome(t)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			err := trust.Update(h, func(s *trust.Store) error {
				s.Approvals[fmt.Sprintf("/%d", n)] = trust.Approval{Fingerprint: "x"}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s, err := trust.Load(h.Trust()); err != nil || len(s.Approvals) != 20 {
		t.Errorf("%d approvals, %v; want 20", len(s.Approvals), err)
	}
}

func FuzzLoadStore(f *testing.F) {
	f.Add([]byte("schema_version = 1\n[approvals.\"/a\"]\nfingerprint = \"x\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "trust.toml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := trust.Load(path)
		if err != nil && len(s.Approvals) > 0 {
			t.Errorf("a store with an error trusts %v", s.Paths())
		}
	})
}
