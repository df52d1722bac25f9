package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

// T-A-02 R-MON-17: every kind of harm is found and named.
func TestVerifyFinds(t *testing.T) {
	cur := testContainer + ".jsonl"
	cases := []struct {
		name string
		harm func(l [][]byte) [][]byte // of the lines of one file with 10 records
		kind string
		line int
	}{
		{"change", func(l [][]byte) [][]byte { l[4] = bytes.Replace(l[4], []byte("info"), []byte("high"), 1); return l }, Changed, 5},
		{"change the last", func(l [][]byte) [][]byte { l[9] = bytes.Replace(l[9], []byte("info"), []byte("high"), 1); return l }, Changed, 10},
		{"change the first", func(l [][]byte) [][]byte { l[0] = bytes.Replace(l[0], []byte("info"), []byte("high"), 1); return l }, Changed, 1},
		{"drop", func(l [][]byte) [][]byte { return append(l[:4], l[5:]...) }, Missing, 5},
		{"swap", func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }, Swapped, 5},
		{"insert a copy", func(l [][]byte) [][]byte { return insert(l, 5, l[4]) }, Inserted, 5},
		{"insert a lie", func(l [][]byte) [][]byte { return insert(l, 5, lie(l[5])) }, Inserted, 6},
		{"insert text", func(l [][]byte) [][]byte { return insert(l, 5, []byte("hello")) }, Inserted, 6},
		{"insert an empty line", func(l [][]byte) [][]byte { return insert(l, 5, nil) }, Inserted, 6},
		{"cut tail", func(l [][]byte) [][]byte { return l[:7] }, CutTail, 7},
		{"cut head", func(l [][]byte) [][]byte { return l[3:] }, Missing, 1},
		{"edit prev", func(l [][]byte) [][]byte { l[4] = editPrev(l[4]); return l }, Changed, 5},
		{"edit seq", func(l [][]byte) [][]byte {
			l[4] = bytes.Replace(l[4], []byte(`"seq":5`), []byte(`"seq":9`), 1)
			return l
		}, Missing, 5},
		{"garbage", func(l [][]byte) [][]byte { l[4] = []byte("\x00\x01"); return l }, Changed, 5},
		{"other container", func(l [][]byte) [][]byte {
			l[9] = bytes.Replace(l[9], []byte(testContainer), []byte("coi-other-1"), 1)
			return l
		}, Foreign, 10},
		{"newer version", func(l [][]byte) [][]byte { l[4] = bytes.Replace(l[4], []byte(`"v":1`), []byte(`"v":2`), 1); return l }, Foreign, 5},
		{"all gone", func([][]byte) [][]byte { return nil }, CutTail, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := testHome(t)
			fill(t, h, 9, Options{})
			if rep := verifyOK(t, h); rep.Records != 10 {
				t.Fatalf("%d records before the harm", rep.Records)
			}
			out := bytes.Join(c.harm(lines(t, h)), []byte("\n"))
			if len(out) > 0 {
				out = append(out, '\n')
			}
			write(t, h, cur, string(out))
			rep, err := Verify(h, testContainer, nil)
			if err != nil || rep.Fault == nil {
				t.Fatalf("Verify = %+v, %v; want a fault", rep, err)
			}
			if rep.Fault.Kind != c.kind || rep.Fault.Line != c.line || rep.Fault.File != cur {
				t.Errorf("Verify blames %+v; want %s in line %d", rep.Fault, c.kind, c.line)
			}
		})
	}
}

func insert(l [][]byte, at int, line []byte) [][]byte {
	out := append([][]byte{}, l[:at]...)
	return append(append(out, line), l[at:]...)
}

// lie is a made-up record in the place of another, linked to the same one.
func lie(line []byte) []byte { return bytes.Replace(line, []byte("record"), []byte("recard"), 1) }

func editPrev(line []byte) []byte {
	i := bytes.Index(line, prevKey) + len(prevKey)
	out := bytes.Clone(line)
	if out[i] == '0' {
		out[i] = '1'
	} else {
		out[i] = '0'
	}
	return out
}

func TestVerifyFiles(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, names []string, path func(string) string)
		kind string
	}{
		"replaced file": {func(t *testing.T, _ []string, path func(string) string) {
			other := testHome(t)
			fill(t, other, 30, Options{})
			b, err := os.ReadFile(other.Audit(testContainer + ".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, path(testContainer+".jsonl"), b)
		}, Swapped},
		"swapped parts": {func(t *testing.T, names []string, path func(string) string) {
			a, b := path(names[0]), path(names[1])
			for _, p := range [][2]string{{a, a + "x"}, {b, a}, {a + "x", b}} {
				if err := os.Rename(p[0], p[1]); err != nil {
					t.Fatal(err)
				}
			}
		}, Swapped},
		"missing part": {func(t *testing.T, names []string, path func(string) string) {
			if err := os.Remove(path(names[1])); err != nil {
				t.Fatal(err)
			}
		}, Swapped},
		"torn": {func(t *testing.T, _ []string, path func(string) string) {
			b, err := os.ReadFile(path(testContainer + ".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, path(testContainer+".jsonl"), append(b, `{"v":1`...))
		}, Torn},
		"no head": {func(t *testing.T, _ []string, path func(string) string) {
			if err := os.Remove(path(testContainer + ".head")); err != nil {
				t.Fatal(err)
			}
		}, CutTail},
		"other head": {func(t *testing.T, _ []string, path func(string) string) {
			b, err := os.ReadFile(path(testContainer + ".head"))
			if err != nil {
				t.Fatal(err)
			}
			i := bytes.Index(b, []byte(`"hash":"`)) + len(`"hash":"`)
			b[i] ^= 1
			put(t, path(testContainer+".head"), b)
		}, Changed},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHome(t)
			fill(t, h, 30, Options{MaxSize: 4000})
			parts, err := Parts(h, testContainer)
			if err != nil || len(parts) < 2 {
				t.Fatalf("Parts = %v, %v", parts, err)
			}
			verifyOK(t, h)
			var names []string
			for _, p := range parts {
				names = append(names, p.Name)
			}
			c.harm(t, names, func(n string) string { return h.Audit(n) })
			rep, err := Verify(h, testContainer, nil)
			if err != nil || rep.Fault == nil || rep.Fault.Kind != c.kind {
				t.Errorf("Verify = %+v, %v; want %s", rep.Fault, err, c.kind)
			}
		})
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A whole trail that was written anew holds together; only anchors tell.
func TestVerifyAnchors(t *testing.T) {
	h := testHome(t)
	fill(t, h, 5, Options{})
	head := ReadHead(h, testContainer)
	good := Anchor{Container: testContainer, Seq: head.Seq, Hash: head.Hash, At: time.Now()}
	if rep, err := Verify(h, testContainer, []Anchor{good, {Container: "coi-other-1", Seq: 1, Hash: "x"}}); err != nil || rep.Fault != nil || rep.Anchors != 1 {
		t.Fatalf("Verify = %+v, %v; want one anchor to match", rep, err)
	}
	before := good
	before.At, before.Hash = time.Now().Add(-24*time.Hour), strings.Repeat("a", 64)
	if rep, err := Verify(h, testContainer, []Anchor{good, before}); err != nil || rep.Fault != nil || rep.Earlier != 1 {
		t.Errorf("Verify = %+v, %v; an anchor of an earlier trail must not count", rep, err)
	}
	later := good
	later.Seq += 100
	if rep, err := Verify(h, testContainer, []Anchor{later}); err != nil || rep.Fault == nil || rep.Fault.Kind != CutTail {
		t.Errorf("Verify = %+v, %v; want a cut tail", rep, err)
	}
	bad := good
	bad.Hash = strings.Repeat("b", 64)
	if rep, err := Verify(h, testContainer, []Anchor{bad}); err != nil || rep.Fault == nil || rep.Fault.Kind != Changed {
		t.Errorf("Verify = %+v, %v; want a change", rep, err)
	}
}

func TestVerifyNothing(t *testing.T) {
	if _, err := Verify(testHome(t), testContainer, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Verify = %v; want %v", err, fs.ErrNotExist)
	}
}

// A writer that died between a record and its head is no fault.
func TestHeadBehind(t *testing.T) {
	h := testHome(t)
	fill(t, h, 3, Options{})
	old, err := os.ReadFile(h.Audit(testContainer + ".head"))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, h, 2, Options{})
	put(t, h.Audit(testContainer+".head"), old)
	if rep := verifyOK(t, h); rep.Head != "behind" {
		t.Errorf("head %s; want behind", rep.Head)
	}
	fill(t, h, 1, Options{})
	if rep := verifyOK(t, h); rep.Head != "matches" || rep.Records != 7 {
		t.Errorf("Verify = %+v", rep)
	}
}
