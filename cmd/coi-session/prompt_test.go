package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath/swaptest"
)

// cli.md 5.2: a prompt comes from a regular file. One of the workspace leads to
// no other file of the host, and nothing in its place hangs or fills memory.
func TestPromptFile(t *testing.T) {
	ws, outside := t.TempDir(), t.TempDir()
	in := func(n string) string { return filepath.Join(ws, n) }
	out := func(n string) string { return filepath.Join(outside, n) }
	for _, err := range []error{
		os.WriteFile(in("task.md"), []byte("task"), 0o600), os.WriteFile(out("mine.md"), []byte("mine"), 0o600), os.Symlink("task.md", in("inner")),
		os.Symlink(out("mine.md"), in("outer")), os.Symlink(out("mine.md"), out("link")), unix.Mkfifo(in("fifo"), 0o600), unix.Mkfifo(out("fifo"), 0o600),
		os.WriteFile(in("huge"), nil, 0o600), os.Truncate(in("huge"), 1<<40),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{in("task.md"): "task", in("inner"): "task", out("mine.md"): "mine", out("link"): "mine"} {
		if b, err := promptFile(name, ws); err != nil || string(b) != want {
			t.Errorf("%s = %q, %v; want %q", name, b, err, want)
		}
	}
	for _, name := range []string{in("outer"), in("fifo"), out("fifo"), in("missing"), ws, outside, "/dev/zero", in("../mine.md")} {
		if b, err := promptFile(name, ws); err == nil {
			t.Errorf("%s = %d bytes; want an error", name, len(b))
		}
	}
	if b, err := promptFile(in("huge"), ws); err != nil || len(b) != maxPrompt+1 {
		t.Errorf("huge file: %d bytes, %v", len(b), err)
	}
	// A shell's <(...) is a pipe that the caller was given.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	_, err = w.WriteString("piped")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/proc/self/fd/" + strconv.Itoa(int(r.Fd()))
	if b, err2 := promptFile(name, ws); err != nil || err2 != nil || string(b) != "piped" {
		t.Errorf("%s = %q, %v, %v", name, b, err, err2)
	}
}

// R-PATH-01: an agent that swaps the prompt for a link while it is read.
func TestPromptFileWhileSwapped(t *testing.T) {
	ws := t.TempDir()
	x := filepath.Join(ws, "x")
	swaptest.Loop(t, x)
	read := 0
	swaptest.Times(t, 2000, func() {
		b, err := promptFile(x, ws)
		if err != nil {
			return
		}
		if read++; strings.Contains(string(b), swaptest.Secret) {
			t.Error("a file of the host was read")
		}
	})
	if read == 0 {
		t.Error("nothing was read; the instrument does not work")
	}
}

// cli.md 6.2: a typed link is followed, but not out of the workspace.
func TestPushSource(t *testing.T) {
	ws, outside := t.TempDir(), t.TempDir()
	link, inner, typed := filepath.Join(ws, "outer"), filepath.Join(ws, "inner"), filepath.Join(outside, "link")
	for _, err := range []error{
		os.WriteFile(filepath.Join(ws, "f"), nil, 0o600), os.WriteFile(filepath.Join(outside, "f"), nil, 0o600), os.Symlink("f", inner),
		os.Symlink(filepath.Join(outside, "f"), link), os.Symlink("f", typed),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]string{inner: filepath.Join(ws, "f"), typed: filepath.Join(outside, "f"), link: "", filepath.Join(ws, "none"): ""} {
		got, err := source(from, ws)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("source(%s) = %q, %v; want %q", from, got, err, want)
		}
	}
}
