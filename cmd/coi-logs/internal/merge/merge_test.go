package merge

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func merge(t *testing.T, out, errs []byte, n int) string {
	t.Helper()
	dir := t.TempDir()
	p := Pair{Out: filepath.Join(dir, "o"), Err: filepath.Join(dir, "e"), Open: os.Open}
	for path, b := range map[string][]byte{p.Out: out, p.Err: errs} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	w := bufio.NewWriter(&got)
	if found, err := p.Print(&Printer{}, w, n); err != nil || !found {
		t.Fatalf("Print = %v, %v", found, err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

// ended is b with a newline at its end, as printing gives it.
func ended(b []byte) string {
	if s := string(b); s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return string(b) + "\n"
}

// Whatever the files hold: each line of both comes out once, in the order of
// its file, and the last n are the last n.
func FuzzPrint(f *testing.F) {
	f.Add([]byte("2026/05/22 10:15:01 [setup] a\nx\n"), []byte("2026/05/22 10:15:00 [network] b"), uint8(1))
	f.Add([]byte("\n\n"), []byte(strings.Repeat("x", 70_000)+"\ny"), uint8(3))
	f.Add([]byte(""), []byte("2026/05/22 10:15:01 x\n"), uint8(0))
	f.Fuzz(func(t *testing.T, out, errs []byte, last uint8) {
		// The mark of one stream must not stand in the other.
		out, errs = bytes.ReplaceAll(out, []byte(Prefix), nil), bytes.ReplaceAll(errs, []byte(Prefix), nil)
		all := merge(t, out, errs, -1)
		var a, b strings.Builder
		for line := range strings.Lines(all) {
			if rest, ok := strings.CutPrefix(line, Prefix); ok {
				b.WriteString(rest)
			} else {
				a.WriteString(line)
			}
		}
		if a.String() != ended(out) || b.String() != ended(errs) {
			t.Fatalf("%q and %q became %q", out, errs, all)
		}
		lines := strings.SplitAfter(all, "\n")
		lines = lines[:len(lines)-1]
		want := strings.Join(lines[max(0, len(lines)-int(last)):], "")
		if got := merge(t, out, errs, int(last)); got != want && !undatedStart(lines, int(last)) {
			t.Fatalf("last %d of %q is %q", last, all, got)
		}
	})
}

// undatedStart reports whether lines without a time stand where the last n
// begin: their place among the lines of the other file is then open.
func undatedStart(lines []string, n int) bool {
	for _, l := range lines[:max(0, len(lines)-n)+min(n, len(lines))] {
		if !dated([]byte(strings.TrimPrefix(l, Prefix))) {
			return true
		}
	}
	return false
}
