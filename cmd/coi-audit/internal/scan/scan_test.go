package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// T-A-06: what is one JSON object for everybody, and what is not.
func TestValid(t *testing.T) {
	for _, s := range []string{
		`{}`, ` {"a":1} `, `{"a":[1,-0.5e+3,true,false,null,"\u0041\n\/",{}]}`, `{"":1}`, `{"a":{"a":1}}`, `{"é":"漢"}`, `{"a":"\ud83d\ude00"}`,
		`{"a":"` + strings.Repeat("x", 100_000) + `"}`, strings.Repeat(`{"a":`, 150) + "1" + strings.Repeat("}", 150),
	} {
		if !Valid([]byte(s)) || !json.Valid([]byte(s)) {
			t.Errorf("Valid(%.60s) = false", s)
		}
	}
	for _, s := range []string{
		``, `1`, `[]`, `"x"`, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":+1}`, `{"a":NaN}`,
		`{"a":1}{"b":2}`, `{"a":1}x`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`, `{"a":"\udc00x"}`, `{"a":"\x"}`,
		"{\"a\":\"\x00\"}", "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", "\ufeff{}", `{"a":tru}`, `{"a":[1,]}`, `{"a":[1`, `{"a":"\u00"}`, `{"a":-}`,
		strings.Repeat(`{"a":`, 100_000),
	} {
		if Valid([]byte(s)) {
			t.Errorf("Valid(%.60q) = true", s)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":1,`, i)
	}
	if !Valid([]byte("{" + strings.TrimSuffix(many.String(), ",") + "}")) {
		t.Error("Valid refuses a hundred keys")
	}
	if Valid([]byte("{" + many.String() + `"k7":1}`)) {
		t.Error("Valid takes a double key among a hundred")
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":"\ud83d\ude00","b":[{}]}`, `{"a":1,"a":2}`, `{"a":1e5}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !Valid(b) {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("Valid(%q), but encoding/json refuses it", b)
		}
		n := 0
		Members(b, func(key, raw []byte) {
			n++
			if !json.Valid(raw) {
				t.Fatalf("member %q of %q is %q", key, b, raw)
			}
		})
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil || len(m) != n {
			t.Fatalf("%d members of %q, encoding/json finds %d, %v", n, b, len(m), err)
		}
	})
}

// trail makes n records, one a second from the start of 2026.
func trail(t *testing.T, n int) (home.Home, time.Time) {
	t.Helper()
	h := home.Home{Dir: filepath.Join(t.TempDir(), "coi"), UID: os.Geteuid()}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := start
	a, err := audit.Open(h, "coi-1", audit.Options{Journal: "-", Source: audit.SourceWatch, MaxSize: 400_000, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		at = start.Add(time.Duration(i) * time.Second)
		level := coi.Info
		if i%100 == 50 {
			level = coi.Critical
		}
		r := audit.Record{Type: audit.TypeExec, Level: level, Category: audit.CategoryExecution, Title: fmt.Sprintf(`"quoted" %d`, i), Description: `x","rule":"fake`, Rule: fmt.Sprintf("run.%d", i%10), PID: i + 1}
		if _, err := a.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return h, start
}

func read(t *testing.T, h home.Home, f *Filter, narrow bool, last int) (out []string, bad Bad) {
	t.Helper()
	f.Prepare()
	in, err := Trail(h, "coi-1")
	if err != nil {
		t.Fatal(err)
	}
	defer Close(in)
	skip := 0
	if narrow {
		in = f.Narrow(in)
	}
	if last > 0 {
		var n int
		if in, n, err = f.Last(in, last); err != nil {
			t.Fatal(err)
		}
		skip = max(0, n-last)
	}
	c := NewCursor(in, f, &bad, 512)
	for {
		line, err := c.Next()
		if errors.Is(err, io.EOF) {
			return out[min(skip, len(out)):], bad
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
}

// The short ways (head of the line, bisection, reading backwards) give what
// looking at every line gives.
func TestShortWays(t *testing.T) {
	h, start := trail(t, 3000)
	all, _ := read(t, h, &Filter{}, false, 0)
	if len(all) < 3001 {
		t.Fatalf("%d lines", len(all))
	}
	for name, f := range map[string]*Filter{
		"level": {Levels: AtLeast(coi.High)}, "rule": {Rules: []string{"run.*3"}}, "both": {Levels: AtLeast(coi.High), Rules: []string{"run.0"}},
		"action": {Actions: []string{audit.Logged}}, "pid": {PIDs: []int{7, 2999}}, "type": {Types: []string{audit.TypeAudit}},
		"since": {Since: start.Add(2500 * time.Second)}, "until": {Until: start.Add(10 * time.Second)},
		"between": {Since: start.Add(700*time.Second + 1), Until: start.Add(900 * time.Second), Sources: []string{audit.SourceWatch}},
		"nothing": {Since: start.Add(time.Hour * 24)}, "before": {Until: start},
	} {
		f.Prepare()
		var want []string
		for _, line := range all {
			if Valid([]byte(line)) && f.foreign([]byte(line)) && f.rest([]byte(line), false) {
				want = append(want, line)
			}
		}
		got, _ := read(t, h, f, true, 0)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
		}
		for _, n := range []int{1, 7, 500} {
			got, _ = read(t, h, f, true, n)
			if diff := cmp.Diff(want[max(0, len(want)-n):], got); diff != "" && len(want)+len(got) > 0 {
				t.Errorf("last %d of %s: %d lines, want %d", n, name, len(got), min(n, len(want)))
			}
		}
	}
}

// Bad lines between good ones cost only themselves.
func TestBadLines(t *testing.T) {
	h, _ := trail(t, 10)
	path := h.Audit("coi-1.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	l[3] = []byte("\x00\x01")
	l[5] = bytes.Replace(l[5], []byte(`"v":1`), []byte(`"v":2`), 1)
	l[7] = append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), audit.MaxLine+10)...)
	if err := os.WriteFile(path, append(bytes.Join(l, []byte("\n")), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	out, bad := read(t, h, &Filter{}, false, 0)
	if len(out) != 8 || bad.Count != 3 || bad.First != path+":4" {
		t.Errorf("%d good lines, %+v; want 8 and 3 bad ones from line 4", len(out), bad)
	}
}

// Memory does not grow with the line.
func TestLongLineIsNotHeld(t *testing.T) {
	r := io.MultiReader(strings.NewReader("{\"a\":1}\n{\"a\":\""), &xs{64 << 20}, strings.NewReader("\"}\n{\"a\":2}\n"))
	in, err := File("-", r)
	if err != nil {
		t.Fatal(err)
	}
	var bad Bad
	c := NewCursor([]*Input{in}, &Filter{}, &bad, 4096)
	for _, want := range []string{`{"a":1}`, `{"a":2}`} {
		line, err := c.Next()
		if err != nil || string(line) != want {
			t.Fatalf("Next = %s, %v; want %s", line, err, want)
		}
	}
	if _, err := c.Next(); !errors.Is(err, io.EOF) || bad.Count != 1 || len(c.buf) > audit.MaxLine+1 {
		t.Errorf("%v, %+v, buffer of %d bytes", err, bad, len(c.buf))
	}
}

// xs is n times x.
type xs struct{ n int }

func (x *xs) Read(b []byte) (int, error) {
	if x.n == 0 {
		return 0, io.EOF
	}
	n := min(x.n, len(b))
	for i := range n {
		b[i] = 'x'
	}
	x.n -= n
	return n, nil
}

func TestGlob(t *testing.T) {
	for p, want := range map[string]bool{"block.*": true, "*private": true, "block.private": true, "b?ock.*": true, "block": false, "*x*": false, "*": true, "": false, "block.private*": true, "*.*.*": false} {
		if got := Glob(p, "block.private"); got != want {
			t.Errorf("Glob(%q) = %v", p, got)
		}
	}
}
