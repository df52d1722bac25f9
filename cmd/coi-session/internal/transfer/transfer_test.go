package transfer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hostile is a container's file system that lies about names.
type hostile map[string]entry

type entry struct {
	mode    fs.FileMode
	text    string
	entries []string
}

type info struct {
	name string
	entry
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(len(i.text)) }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

func (h hostile) Lstat(name string) (fs.FileInfo, error) {
	e, ok := h[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return info{filepath.Base(name), e}, nil
}

func (h hostile) ReadDir(name string) ([]fs.FileInfo, error) {
	var out []fs.FileInfo
	for _, n := range h[name].entries {
		e, ok := h[name+"/"+n]
		if !ok {
			e = entry{mode: 0o644, text: "evil"}
		}
		out = append(out, info{n, e})
	}
	return out, nil
}

func (h hostile) Open(name string) (io.ReadCloser, error) {
	if !h[name].mode.IsRegular() {
		return nil, errors.New("opened what must not be opened")
	}
	return io.NopCloser(bytes.NewBufferString(h[name].text)), nil
}

func (hostile) Mkdir(string, fs.FileMode, int) error { return errors.New("not in this test") }
func (hostile) Write(string, fs.FileMode, int, io.Reader) error {
	return errors.New("not in this test")
}

// R-INP-05: of a hostile tree only files and directories arrive, under names
// that stay inside, without setuid bits; links, devices and FIFOs are not even
// opened.
func TestPullTree(t *testing.T) {
	tree := hostile{
		"/d":       {mode: fs.ModeDir | 0o777, entries: []string{"a", "x", "f", "s", "sub", "..", "../../evil", "a/b"}},
		"/d/a":     {mode: 0o666, text: "hello"},
		"/d/x":     {mode: fs.ModeSymlink | 0o777},
		"/d/f":     {mode: fs.ModeNamedPipe | 0o644},
		"/d/s":     {mode: fs.ModeSetuid | 0o755, text: "#!"},
		"/d/sub":   {mode: fs.ModeDir | 0o755, entries: []string{"b"}},
		"/d/sub/b": {mode: 0o600, text: "deep"},
	}
	out := filepath.Join(t.TempDir(), "out")
	res, err := Pull(tree, "/d", out, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Result{Files: 3, Links: 1, Others: 1, Setuid: 1, Names: 3}); res != want {
		t.Errorf("Pull = %+v; want %+v", res, want)
	}
	if b, _ := os.ReadFile(filepath.Join(out, "sub", "b")); string(b) != "deep" {
		t.Errorf("sub/b = %q", b)
	}
	for _, gone := range []string{"x", "f", "../evil"} {
		if _, err := os.Lstat(filepath.Join(out, gone)); err == nil {
			t.Errorf("%s arrived", gone)
		}
	}
	st, err := os.Stat(filepath.Join(out, "s"))
	if err != nil || st.Mode()&fs.ModeSetuid != 0 {
		t.Errorf("s = %v, %v", st, err)
	}
	if st, _ := os.Stat(filepath.Join(out, "a")); st.Mode().Perm() != 0o644 {
		t.Errorf("a has mode %v", st.Mode())
	}
}

// Targets: a link is refused, a directory is never replaced, a missing source
// leaves the target untouched.
func TestPullTargets(t *testing.T) {
	tree := hostile{"/a": {mode: 0o644, text: "new"}, "/d": {mode: fs.ModeDir | 0o755}, "/l": {mode: fs.ModeSymlink | 0o777}}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	secret := at("secret")
	for _, err := range []error{
		os.WriteFile(secret, []byte("keep"), 0o600), os.Symlink(secret, at("link")), os.Mkdir(at("into"), 0o700), os.Mkdir(at("full"), 0o700),
		os.Mkdir(at("full/a"), 0o700), os.WriteFile(at("old"), []byte("old"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for target, fails := range map[string]bool{"link": true, "full": true, "none/": true, "old/": true, "into": false, "old": false, "fresh": false} {
		_, err := Pull(tree, "/a", dir+"/"+target, false)
		if (err != nil) != fails {
			t.Errorf("Pull to %s = %v; want an error: %v", target, err, fails)
		}
	}
	for name, want := range map[string]string{"secret": "keep", "into/a": "new", "old": "new", "fresh": "new"} {
		if b, _ := os.ReadFile(at(name)); string(b) != want {
			t.Errorf("%s = %q; want %q", name, b, want)
		}
	}
	if _, err := Pull(tree, "/d", at("x"), false); !errors.Is(err, ErrDirectory) {
		t.Errorf("Pull of a directory = %v", err)
	}
	for _, from := range []string{"/none", "/l"} {
		if _, err := Pull(tree, from, at("old"), false); err == nil {
			t.Errorf("Pull of %s succeeded", from)
		}
	}
	if b, _ := os.ReadFile(at("old")); string(b) != "new" {
		t.Errorf("old = %q after failed pulls", b)
	}
}
