package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/logs"
)

const name = "coi-1a2b3c4d-1"

// following runs coi logs -f and gives its lines.
type following struct {
	t     *testing.T
	lines chan string
	stop  func() int
}

func follow(t *testing.T, home string, args ...string) *following {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s := cli.Streams{Stdin: nil, Stdout: w, Stderr: io.Discard, Getenv: func(k string) string {
		return map[string]string{"HOME": filepath.Dir(home), "COI_HOME": home}[k]
	}}
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, append([]string{"coi-logs", name, "-f"}, args...), s, command())
		_ = w.Close()
	}()
	f := &following{t: t, lines: make(chan string, 100)}
	go func() {
		defer close(f.lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			f.lines <- in.Text()
		}
	}()
	f.stop = func() int { cancel(); return <-code }
	t.Cleanup(func() { cancel() })
	return f
}

func (f *following) wants(want string) {
	f.t.Helper()
	select {
	case got, ok := <-f.lines:
		if got != want || !ok {
			f.t.Fatalf("line %q, %v; want %q", got, ok, want)
		}
	case <-time.After(10 * time.Second):
		f.t.Fatalf("no line came; want %q", want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// T-L-03: folder and files come later; both are interleaved; Ctrl+C is exit 0.
func TestFollow(t *testing.T) {
	home := filepath.Join(t.TempDir(), "coi")
	// With -n the first line comes whether it was written before the start or after.
	f := follow(t, home, "-n", "10")
	out, errs := filepath.Join(home, "logs", name+logs.StdoutSuffix), filepath.Join(home, "logs", name+logs.StderrSuffix)
	write(t, out, "2026/05/22 10:15:01 [setup] one\n")
	f.wants("2026/05/22 10:15:01 [setup] one")
	write(t, errs, "x\n")
	f.wants("[ERR] x")
	write(t, out, "two\n")
	f.wants("two")
	if err := os.Rename(out, out+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, out, "three\n")
	f.wants("three")
	if code := f.stop(); code != 0 {
		t.Errorf("exit code %d after Ctrl+C; want 0", code)
	}
}

// -f starts at the end; -n prints the last lines first; filters hold for new lines.
func TestFollowFromTheEnd(t *testing.T) {
	home := filepath.Join(t.TempDir(), "coi")
	out := filepath.Join(home, "logs", name+logs.StdoutSuffix)
	write(t, out, "2026/05/22 10:15:01 [setup] old\n2026/05/22 10:15:02 [setup] last\n")
	f := follow(t, home, "-n", "1")
	f.wants("2026/05/22 10:15:02 [setup] last")
	write(t, out, "new\n")
	f.wants("new")
	g := follow(t, home, "-n", "1", "--grep", "keep")
	write(t, out, "drop\n")
	write(t, out, "keep\n")
	g.wants("keep")
}
