package audit

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

const testContainer = "coi-1a2b3c4d-1"

func testHome(t testing.TB) home.Home {
	t.Helper()
	return home.Home{Dir: filepath.Join(t.TempDir(), "coi"), UID: os.Geteuid()}
}

func open(t testing.TB, h home.Home, o Options) *Appender {
	t.Helper()
	if o.Journal == "" {
		o.Journal = "-"
	}
	if o.Source == "" {
		o.Source = SourceWatch
	}
	a, err := Open(h, testContainer, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func finding(level coi.Level, title string) Record {
	return Record{Type: TypeExec, Level: level, Category: CategoryExecution, Title: title, Rule: "run.decode", Action: Alerted}
}

func mustAppend(t testing.TB, a *Appender, recs ...Record) []Record {
	t.Helper()
	got, err := a.Append(recs...)
	if errors.Is(err, ErrQueued) && a.Problem() == nil {
		// A busy disk: the records are on their way.
		eventually(t, "writing", func() bool { queued, _ := a.Waiting(); return queued == 0 })
		return got
	}
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return got
}

// fill makes a trail with n records and closes it.
func fill(t testing.TB, h home.Home, n int, o Options) {
	t.Helper()
	a := open(t, h, o)
	for i := range n {
		mustAppend(t, a, finding(coi.Info, fmt.Sprintf("record %d", i)))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func verifyOK(t testing.TB, h home.Home) Report {
	t.Helper()
	rep, err := Verify(h, testContainer, nil)
	if err != nil || rep.Fault != nil {
		t.Fatalf("Verify = %+v, %v; want no fault", rep.Fault, err)
	}
	return rep
}

func lines(t testing.TB, h home.Home) [][]byte {
	t.Helper()
	files, err := Files(h, testContainer)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))...)
	}
	return out
}

func rules(t testing.TB, h home.Home) (out []string) {
	t.Helper()
	for _, l := range lines(t, h) {
		r, err := Decode(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r.Rule)
	}
	return out
}

// R-MON-17: the first record starts the chain, the file is 0600, what Append
// returns is what is in the file.
func TestAppend(t *testing.T) {
	h := testHome(t)
	a := open(t, h, Options{SessionID: "s1"})
	got := mustAppend(t, a, finding(coi.High, "one"), finding(coi.Info, "two"))
	all := lines(t, h)
	if len(all) != 3 || string(all[1]) != string(got[0].Encode(nil)) || string(all[2]) != string(got[1].Encode(nil)) {
		t.Errorf("file holds %q; want chain.start and %v", all, got)
	}
	if got[0].Seq != 2 || got[1].Seq != 3 || got[0].SessionID != "s1" || !ValidID(got[0].ID) {
		t.Errorf("records came back as %+v", got)
	}
	for _, name := range []string{testContainer + ".jsonl", testContainer + ".head", testContainer + ".jsonl.lock", ".reserve"} {
		st, err := os.Stat(h.Audit(name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, st, err)
		}
	}
	if st, _ := os.Stat(h.Audit()); st.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder is %v; want 0700", st.Mode())
	}
	rep := verifyOK(t, h)
	if rep.Records != 3 || rep.Head != "matches" {
		t.Errorf("Verify = %+v; want 3 records, head matches", rep)
	}
}

func TestOpenRefusesNames(t *testing.T) {
	for _, name := range []string{"", "../x", "a/b", "-x", strings.Repeat("a", 80)} {
		if a, err := Open(testHome(t), name, Options{}); err == nil {
			_ = a.Close()
			t.Errorf("Open took the name %q", name)
		}
	}
}

// Several writers keep one chain (T-A-03 without the killing).
func TestWritersTakeTurns(t *testing.T) {
	h := testHome(t)
	var wg sync.WaitGroup
	const writers, each = 4, 200
	for w := range writers {
		a := open(t, h, Options{})
		wg.Go(func() {
			for i := range each {
				if _, err := a.Append(finding(coi.Info, fmt.Sprintf("%d/%d", w, i))); err != nil && !errors.Is(err, ErrQueued) {
					t.Error(err)
				}
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if rep := verifyOK(t, h); rep.Records != writers*each+1 {
		t.Errorf("%d records; want %d", rep.Records, writers*each+1)
	}
}

// T-A-05: rotation keeps the chain and the numbers, names parts by their first
// record and tells of the one before.
func TestRotation(t *testing.T) {
	h := testHome(t)
	fill(t, h, 40, Options{MaxSize: 2000})
	parts, err := Parts(h, testContainer)
	if err != nil || len(parts) < 3 {
		t.Fatalf("Parts = %v, %v; want several", parts, err)
	}
	for _, p := range parts {
		b, err := os.ReadFile(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(b, []byte("\n"))
		if seq, _ := lineSeq(first); seq != p.First {
			t.Errorf("%s begins with record %d", p.Name, seq)
		}
	}
	if rep := verifyOK(t, h); rep.Parts != len(parts)+1 || rep.First != 1 {
		t.Errorf("Verify = %+v", rep)
	}
	last := lines(t, h)
	part := 0
	for _, l := range last {
		if r, _ := Decode(l); r.Rule == "chain.part" {
			if r.Evidence["part"] != parts[part].Name {
				t.Errorf("chain.part names %v; want %s", r.Evidence["part"], parts[part].Name)
			}
			part++
		}
	}
	if part != len(parts) {
		t.Errorf("%d chain.part records for %d parts", part, len(parts))
	}
}

// A rotation that is cut short at any step is finished by the next writer.
func TestRotationCutShort(t *testing.T) {
	cur := testContainer + ".jsonl"
	for name, harm := range map[string]func(t *testing.T, h home.Home){
		"before the new file": func(t *testing.T, h home.Home) {
			rename(t, h, cur, testContainer+".1.jsonl")
		},
		"before the first record": func(t *testing.T, h home.Home) {
			rename(t, h, cur, testContainer+".1.jsonl")
			write(t, h, cur, "")
		},
		"in the first record": func(t *testing.T, h home.Home) {
			rename(t, h, cur, testContainer+".1.jsonl")
			write(t, h, cur, `{"v":1,"seq":`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHome(t)
			fill(t, h, 5, Options{})
			harm(t, h)
			fill(t, h, 1, Options{})
			if rep := verifyOK(t, h); rep.Parts != 2 {
				t.Errorf("%d parts; want 2", rep.Parts)
			}
			for _, r := range rules(t, h) {
				if r == "chain.lost" || r == "chain.part" && strings.Contains(string(bytes.Join(lines(t, h), nil)), "trail was removed") {
					t.Errorf("false alarm: %s", r)
				}
			}
		})
	}
}

func rename(t *testing.T, h home.Home, from, to string) {
	t.Helper()
	if err := os.Rename(h.Audit(from), h.Audit(to)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, h home.Home, name, text string) {
	t.Helper()
	if err := os.WriteFile(h.Audit(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A torn last line is put aside, told of, and nothing else is lost.
func TestTornLine(t *testing.T) {
	for _, torn := range []string{`{"v":1,"seq":7,"ts":"2026`, "\x00\x00\x00", strings.Repeat("x", 100_000), strings.Repeat("y", maxTail+5)} {
		h := testHome(t)
		fill(t, h, 3, Options{})
		f, err := os.OpenFile(h.Audit(testContainer+".jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(torn); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if rep, _ := Verify(h, testContainer, nil); rep.Fault == nil {
			t.Fatal("Verify does not see the torn line")
		}
		fill(t, h, 1, Options{})
		verifyOK(t, h)
		if diff := cmp.Diff([]string{"chain.start", "run.decode", "run.decode", "run.decode", "chain.torn", "run.decode"}, rules(t, h)); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		kept, err := os.ReadFile(h.Audit(testContainer + ".torn"))
		if err != nil || string(kept) != torn {
			t.Errorf("%d bytes were put aside, %v; want %d", len(kept), err, len(torn))
		}
	}
}

// A bad line in the middle is not repaired; writers go on behind it.
func TestBadLineStays(t *testing.T) {
	h := testHome(t)
	fill(t, h, 3, Options{})
	write(t, h, testContainer+".jsonl", string(bytes.Join(lines(t, h), []byte("\n")))+"\nnot json\n")
	fill(t, h, 1, Options{})
	all := lines(t, h)
	if last, err := Decode(all[len(all)-1]); err != nil || last.Seq != 5 || string(all[4]) != "not json" {
		t.Errorf("the last record is %+v, %v; want record 5 behind the bad line", last, err)
	}
	rep, _ := Verify(h, testContainer, nil)
	if rep.Fault == nil || rep.Fault.Line != 5 {
		t.Errorf("Verify blames %+v; want line 5", rep.Fault)
	}
}

func TestTrailRemoved(t *testing.T) {
	h := testHome(t)
	fill(t, h, 3, Options{})
	if err := os.Remove(h.Audit(testContainer + ".jsonl")); err != nil {
		t.Fatal(err)
	}
	fill(t, h, 1, Options{})
	r, err := Decode(lines(t, h)[0])
	if err != nil || r.Rule != "chain.part" || r.Level != coi.High || r.Title != "trail was removed" || r.Seq != 5 {
		t.Errorf("the new file begins with %+v, %v", r, err)
	}
	if rep, _ := Verify(h, testContainer, nil); rep.Fault == nil || rep.Fault.Kind != Missing {
		t.Errorf("Verify = %+v; want missing records", rep.Fault)
	}
}

// What was cut off or changed between two writers is found for good, though
// writers go on.
func TestHarmBetweenWriters(t *testing.T) {
	for name, c := range map[string]struct {
		harm func([][]byte) [][]byte
		kind string
	}{
		"cut":     {func(l [][]byte) [][]byte { return l[:2] }, Missing},
		"changed": {func(l [][]byte) [][]byte { l[3] = bytes.Replace(l[3], []byte("record"), []byte("RECORD"), 1); return l }, Changed},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHome(t)
			fill(t, h, 3, Options{})
			write(t, h, testContainer+".jsonl", string(bytes.Join(c.harm(lines(t, h)), []byte("\n")))+"\n")
			fill(t, h, 2, Options{})
			if got := rules(t, h); !strings.Contains(strings.Join(got, " "), "chain.lost") {
				t.Errorf("no chain.lost among %v", got)
			}
			if rep, _ := Verify(h, testContainer, nil); rep.Fault == nil || rep.Fault.Kind != c.kind {
				t.Errorf("Verify = %+v; want %s", rep.Fault, c.kind)
			}
		})
	}
}

// T-A-05: the clock goes back an hour, or an event is told late.
func TestClockGoesBack(t *testing.T) {
	h := testHome(t)
	now := time.Date(2026, 5, 22, 10, 0, 0, 0, time.UTC)
	a := open(t, h, Options{Now: func() time.Time { return now }})
	first := mustAppend(t, a, finding(coi.High, "before"))[0]
	now = now.Add(-time.Hour)
	second := mustAppend(t, a, finding(coi.High, "after"))[0]
	if !second.TS.Equal(first.TS) || second.LateMS != 3_600_000 {
		t.Errorf("ts %v, late %d ms; want %v and 3600000", second.TS, second.LateMS, first.TS)
	}
}

// T-A-12 R-MON-17: what is no plain file of ours is refused, and the record is kept.
func TestUnsafeFiles(t *testing.T) {
	cur := testContainer + ".jsonl"
	for name, harm := range map[string]func(t *testing.T, h home.Home){
		"link":      func(t *testing.T, h home.Home) { rename(t, h, cur, "moved"); named(t, os.Symlink, h, "moved", cur) },
		"hard link": func(t *testing.T, h home.Home) { named(t, os.Link, h, cur, "second") },
		"mode": func(t *testing.T, h home.Home) {
			if err := os.Chmod(h.Audit(cur), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"folder": func(t *testing.T, h home.Home) {
			rename(t, h, cur, "moved")
			if err := os.Mkdir(h.Audit(cur), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"fifo": func(t *testing.T, h home.Home) {
			rename(t, h, cur, "moved")
			if err := unix.Mkfifo(h.Audit(cur), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"lock is a link": func(t *testing.T, h home.Home) {
			rename(t, h, cur+".lock", "moved")
			named(t, os.Symlink, h, "moved", cur+".lock")
		},
		"head is a link": func(t *testing.T, h home.Home) {
			rename(t, h, testContainer+".head", "moved")
			named(t, os.Symlink, h, "moved", testContainer+".head")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHome(t)
			fill(t, h, 1, Options{})
			harm(t, h)
			a := open(t, h, Options{})
			if _, err := a.Append(finding(coi.High, "x")); !errors.Is(err, ErrQueued) {
				t.Errorf("Append = %v; want %v", err, ErrQueued)
			}
			if queued, lost := a.Waiting(); queued != 1 || lost != 0 || a.Problem() == nil {
				t.Errorf("Waiting = %d, %d, Problem = %v", queued, lost, a.Problem())
			}
		})
	}
}

func named(t *testing.T, how func(a, b string) error, h home.Home, from, to string) {
	t.Helper()
	if err := how(h.Audit(from), h.Audit(to)); err != nil {
		t.Fatal(err)
	}
}

// anchors are what a journal socket of the test got.
func journal(t *testing.T) (socket string, got func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "journal")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return socket, func() string {
		b := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("no anchor came: %v", err)
		}
		return string(b[:n])
	}
}

func TestAnchors(t *testing.T) {
	h := testHome(t)
	socket, got := journal(t)
	a := open(t, h, Options{Journal: socket})
	r := mustAppend(t, a, finding(coi.Critical, "x"))[0]
	text := got()
	for _, want := range []string{"SYSLOG_IDENTIFIER=coi-audit\n", fmt.Sprintf("COI_SEQ=%d\n", r.Seq), "COI_CONTAINER=" + testContainer + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("anchor %q lacks %q", text, want)
		}
	}
	mustAppend(t, a, finding(coi.Info, "y"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if text := got(); !strings.Contains(text, "COI_SEQ=3\n") {
		t.Errorf("the anchor at the end is %q; want record 3", text)
	}
}
