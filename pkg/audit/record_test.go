package audit

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/coi"
)

// examples are one record of each category, one a line.
func examples(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/examples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// T-A-01: every example is what our encoder makes of it, byte for byte.
func TestExamplesAreCanonical(t *testing.T) {
	lines := examples(t)
	if len(lines) < 18 {
		t.Fatalf("%d examples; want one of each category at least", len(lines))
	}
	for _, line := range lines {
		r, err := Decode([]byte(line))
		if err != nil {
			t.Fatalf("Decode(%s): %v", line, err)
		}
		if diff := cmp.Diff(line, string(r.Encode(nil))); diff != "" {
			t.Errorf("Encode(Decode(line)) differs (-want +got):\n%s", diff)
		}
	}
}

// full is a record with every field.
func full() Record {
	return Record{
		V: 1, Seq: 7, TS: time.Date(2026, 5, 22, 10, 15, 1, 5, time.UTC), Container: "coi-1a2b3c4d-1", SessionID: "s", Source: SourceWatch,
		Type: TypeExec, Level: coi.High, Category: CategoryExecution, Title: "t", Description: "d", Rule: "run.decode", Action: Paused,
		ID: NewID(time.Unix(1, 0)), Count: 2, Until: time.Date(2026, 5, 22, 10, 15, 2, 0, time.UTC), Ref: []int{1, 2}, PID: 1, PPID: 2, NSPID: 3,
		UID: new(0), Comm: "c", Exe: "/e", ExeSHA: "ab", Cwd: "/", Argv: []string{"a", ""}, ArgvCut: true, Chain: []Parent{{1, "/p", "p"}}, Path: "/a",
		Path2: "/b", Op: "open", Proto: "tcp", Local: "1.2.3.4:5", Peer: "::1", Port: 1, Name: "n.example", DNS: &DNS{"q.example", "A", "ok", 3},
		N: &Numbers{1.5, 2, 3, "MB"}, Text: "x", Evidence: map[string]any{"b": []any{"x", true, 1.25}, "a": map[string]any{"k": nil}}, LateMS: 4, Host: "h",
		Prev: zeroHash,
	}
}

func TestFixedOrder(t *testing.T) {
	r := full()
	got := string(r.Encode(nil))
	want := `{"v":1,"seq":7,"ts":"2026-05-22T10:15:01.000000005Z","container":"coi-1a2b3c4d-1","session_id":"s","source":"watch","type":"exec","level":"high",` +
		`"category":"execution","title":"t","description":"d","rule":"run.decode","action":"paused","id":"` + r.ID + `","count":2,"until":"2026-05-22T10:15:02.000000000Z",` +
		`"ref":[1,2],"pid":1,"ppid":2,"nspid":3,"uid":0,"comm":"c","exe":"/e","exe_sha":"ab","cwd":"/","argv":["a",""],"argv_cut":true,` +
		`"chain":[{"pid":1,"exe":"/p","argv0":"p"}],"path":"/a","path2":"/b","op":"open","proto":"tcp","local":"1.2.3.4:5","peer":"::1","port":1,"name":"n.example",` +
		`"dns":{"name":"q.example","qtype":"A","result":"ok","names":3},"n":{"value":1.5,"threshold":2,"window_s":3,"unit":"MB"},"text":"x",` +
		`"evidence":{"a":{"k":null},"b":["x",true,1.25]},"late_ms":4,"host":"h","prev":"` + zeroHash + `"}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Encode differs (-want +got):\n%s", diff)
	}
	back, err := Decode([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("Decode(Encode) differs (-want +got):\n%s", diff)
	}
}

// T-A-09 R-MON-14: nothing that steers a terminal or hides text is in a line.
func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mb":      `"a\u001b[31mb"`,
		"\u009b\u0085":    `"\u009b\u0085"`,
		"x\u202ey":        `"x\u202ey"`,
		"z\u200b\ufeff":   `"z\u200b\ufeff"`,
		"tag\U000e0041":   `"tag\udb40\udc41"`,
		"<a>&'\"\\\n\t":   `"<a>&'\"\\\u000a\u0009"`,
		"bad\xffutf8\x7f": `"bad` + "\ufffd" + `utf8\u007f"`,
		"ok é 漢":          `"ok é 漢"`,
	} {
		e := encoder{}
		e.quote(in)
		if string(e.b) != want {
			t.Errorf("quote(%q) = %s; want %s", in, e.b, want)
		}
		var back string
		if err := json.Unmarshal(e.b, &back); err != nil || back != strings.ToValidUTF8(in, "\ufffd") {
			t.Errorf("quote(%q) reads back as %q, %v", in, back, err)
		}
	}
}

func TestNumbersThatJSONCannotSay(t *testing.T) {
	for _, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		r := Record{N: &Numbers{Value: v}}
		if !json.Valid(r.Encode(nil)) {
			t.Errorf("a record with %v is not JSON: %s", v, r.Encode(nil))
		}
	}
}

func TestDecodeRefusesHigherVersion(t *testing.T) {
	if _, err := Decode([]byte(`{"v":2,"seq":1}`)); err == nil {
		t.Error("Decode took a record of version 2")
	}
	if _, err := Decode([]byte(`{"v":1,"seq":1,"new":true}`)); err != nil {
		t.Errorf("Decode refused an unknown field: %v", err)
	}
}

func TestIDsSort(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	a, b := NewID(at), NewID(at.Add(time.Millisecond))
	if a >= b || !ValidID(a) || !ValidID(b) || a[:10] != "01HF7YAT00" {
		t.Errorf("NewID = %s then %s; want rising valid ids that begin with the time", a, b)
	}
	if ValidID("short") || ValidID(strings.Repeat("U", 26)) || ValidID("8"+a[1:]) {
		t.Error("ValidID takes what is no id")
	}
}

func TestLimits(t *testing.T) {
	r := Record{
		Title: strings.Repeat("é", 100), Argv: []string{strings.Repeat("a", 3000), strings.Repeat("b", 3000), "c"}, Chain: make([]Parent, 20),
		Evidence: map[string]any{"deep": nest(20), "err": os.ErrNotExist, "dur": time.Second, "n": uint8(3), "s": struct{ A int }{1}}, Op: "truncate",
	}
	got := r.tidied(nothing{})
	if len(got.Title) > maxTitle || !json.Valid(got.Encode(nil)) {
		t.Errorf("title has %d bytes; want at most %d", len(got.Title), maxTitle)
	}
	if n := len(strings.Join(got.Argv, " ")); n > maxArgv || !got.ArgvCut || len(got.Chain) != maxChain {
		t.Errorf("argv has %d bytes, cut %v, chain %d; want at most %d, true, %d", n, got.ArgvCut, len(got.Chain), maxArgv, maxChain)
	}
	if got.Op != "write" || got.Evidence["op"] != "truncate" || got.Evidence["err"] != os.ErrNotExist.Error() || got.Evidence["dur"] != 1.0 {
		t.Errorf("op %q, evidence %v", got.Op, got.Evidence)
	}
}

func nest(n int) any {
	if n == 0 {
		return "end"
	}
	return map[string]any{"x": nest(n - 1)}
}

// nothing is a redactor that finds nothing.
type nothing struct{}

func (nothing) Text(s string) string     { return s }
func (nothing) Argv(a []string) []string { return a }

// shouting is one that shows where it was.
type shouting struct{}

func (shouting) Text(s string) string {
	return strings.ReplaceAll(s, "hunter2", "[redacted:test:0000]")
}

func (s shouting) Argv(a []string) []string {
	out := make([]string, len(a))
	for i := range a {
		out[i] = s.Text(a[i])
	}
	return out
}

// T-A-08: every text field goes through the redactor.
func TestEveryTextIsRedacted(t *testing.T) {
	const secret = "hunter2"
	r := Record{
		Title: secret, Description: secret, Comm: secret, Exe: secret, Cwd: secret, Argv: []string{secret}, Chain: []Parent{{1, secret, secret}}, Path: secret,
		Path2: secret, Peer: secret, Name: secret, DNS: &DNS{Name: secret, Result: secret}, Text: secret, Rule: secret,
		Evidence: map[string]any{secret: secret, "l": []string{secret}, "m": map[string]string{"k": secret}, "s": struct{ V string }{secret}},
	}
	tidy := r.tidied(shouting{})
	if line := tidy.Encode(nil); strings.Contains(string(line), secret) {
		t.Errorf("the secret is still in %s", line)
	}
	if r.Title != secret || r.Evidence[secret] != secret {
		t.Error("the caller's record was changed")
	}
}

func FuzzDecode(f *testing.F) {
	for _, line := range examples(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Decode(line)
		if err != nil {
			return
		}
		once := r.tidied(nothing{})
		b := once.Encode(nil)
		if !json.Valid(b) {
			t.Fatalf("Encode gave no JSON: %s", b)
		}
		again, err := Decode(b)
		if err != nil {
			t.Fatalf("Decode(Encode(r)): %v in %s", err, b)
		}
		twice := again.tidied(nothing{})
		if c := twice.Encode(nil); string(c) != string(b) {
			t.Fatalf("not stable:\n%s\n%s", b, c)
		}
	})
}
