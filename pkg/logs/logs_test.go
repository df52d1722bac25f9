package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const container = "coi-1a2b3c4d-1"

func testLog(t *testing.T) (*Log, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "logs")
	l, err := Open(dir, container, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.now = func() time.Time { return time.Date(2026, 5, 22, 10, 15, 1, 0, time.Local) }
	t.Cleanup(l.Close)
	return l, dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// T-L-01: the two files, the form of their lines, the separators.
func TestTheTwoFiles(t *testing.T) {
	l, dir := testLog(t)
	l.Started("6f1d")
	l.Info(Setup, "Setting up %s config...", "claude")
	l.Info(Setup, "Container setup complete!")
	l.Error(Network, "allowlist refresh failed: %s", "lookup x.example: no such host")
	l.Info(Security, "%s", "threat\nwith \x1b[31m two lines\u202e")
	l.Ended("exit")
	want := `2026/05/22 10:15:01 [session] started 6f1d
2026/05/22 10:15:01 [setup] Setting up claude config...
2026/05/22 10:15:01 [setup] Container setup complete!
2026/05/22 10:15:01 [security] threat\x0awith \x1b[31m two lines\u202e
2026/05/22 10:15:01 [session] ended exit
`
	if diff := cmp.Diff(want, read(t, filepath.Join(dir, container+StdoutSuffix))); diff != "" {
		t.Errorf("stdout log (-want +got):\n%s", diff)
	}
	want = "2026/05/22 10:15:01 [network] allowlist refresh failed: lookup x.example: no such host\n"
	if diff := cmp.Diff(want, read(t, filepath.Join(dir, container+StderrSuffix))); diff != "" {
		t.Errorf("stderr log (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v; want the two", entries, err)
	}
	for _, e := range entries {
		if st, _ := e.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s is %v", e.Name(), st.Mode())
		}
	}
}

func TestLongLineIsCut(t *testing.T) {
	b := Line(time.Now(), Setup, strings.Repeat("é", MaxLine))
	if len(b) > MaxLine || !bytes.HasSuffix(b, []byte("…\n")) || bytes.Contains(b, []byte("\ufffd")) {
		t.Errorf("line of %d bytes ends in %q", len(b), b[len(b)-8:])
	}
}

type loud struct{}

func (loud) Text(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted:test:0000]") }

func TestSecretsAreTakenOut(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, container, loud{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Info(Git, "password hunter2")
	if got := read(t, filepath.Join(dir, container+StdoutSuffix)); strings.Contains(got, "hunter2") || !strings.Contains(got, "redacted") {
		t.Errorf("log holds %q", got)
	}
}

// Several writers, rotation in the middle: whole lines only, none lost.
func TestRotation(t *testing.T) {
	_, dir := testLog(t)
	path := filepath.Join(dir, container+StdoutSuffix)
	if err := os.WriteFile(path, bytes.Repeat([]byte("2026/05/22 10:00:00 [setup] old\n"), (MaxFile-20_000)/32), 0o600); err != nil {
		t.Fatal(err)
	}
	old := strings.Count(read(t, path), "\n")
	var wg sync.WaitGroup
	const writers, each = 4, 300
	for w := range writers {
		wg.Go(func() {
			l, err := Open(dir, container, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			for i := range each {
				l.Info(Setup, "%d/%d %s", w, i, strings.Repeat("x", 100))
			}
		})
	}
	wg.Wait()
	files := Files(path)
	if len(files) != 2 || files[1] != path {
		t.Fatalf("Files = %v; want one rotated and the current", files)
	}
	seen := map[string]int{}
	for _, f := range files {
		for line := range strings.Lines(read(t, f)) {
			if !strings.HasSuffix(line, "\n") || !strings.Contains(line, " [setup] ") {
				t.Fatalf("torn line %q", line)
			}
			seen[line[28:]]++
		}
	}
	for w := range writers {
		for i := range each {
			if n := seen[fmt.Sprintf("%d/%d %s\n", w, i, strings.Repeat("x", 100))]; n != 1 {
				t.Fatalf("line %d of writer %d is there %d times", i, w, n)
			}
		}
	}
	if seen["old\n"] != old {
		t.Errorf("%d old lines; want %d", seen["old\n"], old)
	}
}

// A log that cannot be written ends nothing, and is written again when it can.
func TestCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, container+StdoutSuffix)
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, container, nil)
	if err == nil {
		t.Error("Open took a link")
	}
	defer l.Close()
	l.Info(Setup, "nowhere")
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the link was followed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Info(Setup, "again")
	if got := read(t, path); !strings.HasSuffix(got, "[setup] again\n") {
		t.Errorf("log holds %q", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l.Info(Setup, "folder gone")
	if got := read(t, path); !strings.HasSuffix(got, "folder gone\n") {
		t.Errorf("log holds %q", got)
	}
	var none *Log
	none.Info(Setup, "x")
	none.Error(Setup, "x")
	none.Close()
	if _, err := Open(dir, "../x", nil); err == nil {
		t.Error("Open took a name with a slash")
	}
}
