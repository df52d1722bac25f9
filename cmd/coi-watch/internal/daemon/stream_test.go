package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// TestStreamKeepsAMinute is the file of the last events over its whole life:
// what is older than a minute goes, what is younger stays whole, the file stays
// bounded in a storm, and a new daemon finds the number to go on from.
func TestStreamKeepsAMinute(t *testing.T) {
	s := stream{path: filepath.Join(t.TempDir(), "x.watch.events.jsonl")}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var seq uint64
	say := func(at time.Time, text string) {
		seq++
		s.add(event.Event{Type: event.Authlog, Seq: seq, TS: at, Text: text})
	}
	flush := func(now time.Time) {
		t.Helper()
		if err := s.flush(now, true); err != nil {
			t.Fatal(err)
		}
	}
	lines := func() (out []event.Event) {
		t.Helper()
		data, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
			ev, err := event.Unmarshal(line)
			if err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			out = append(out, ev)
		}
		return out
	}
	for i := range 180 {
		say(began.Add(time.Duration(i)*time.Second), strings.Repeat("x", i*5))
		flush(began.Add(time.Duration(i) * time.Second))
	}
	got := lines()
	if first, last := got[0].TS.Sub(began), got[len(got)-1].TS.Sub(began); first < 60*time.Second || first > 119*time.Second || last != 179*time.Second {
		t.Errorf("after three minutes the file has seconds %v to %v; want at most the last two minutes, to the end", first, last)
	}
	for i := 1; i < len(got); i++ {
		if got[i].Seq != got[i-1].Seq+1 {
			t.Errorf("line %d has number %d after %d; want no gap", i, got[i].Seq, got[i-1].Seq)
		}
	}
	if n := s.last(); n != seq {
		t.Errorf("last = %d; want %d", n, seq)
	}
	at := began.Add(181 * time.Second)
	for range 40 * 1024 { // 40 MiB within one second
		say(at, strings.Repeat("y", 1000))
		if err := s.flush(at, false); err != nil {
			t.Fatal(err)
		}
	}
	flush(at)
	st, err := os.Stat(s.path)
	if err != nil || st.Size() > 2*streamMax || st.Size() < streamMax/2 {
		t.Errorf("after a storm the file has %d bytes, %v; want at most %d", st.Size(), err, 2*streamMax)
	}
	if cap(s.buf) > 4*streamBuf {
		t.Errorf("%d bytes of lines are kept in memory after a storm; want at most %d", cap(s.buf), 4*streamBuf)
	}
	got = lines()
	if last := got[len(got)-1].Seq; last != seq || s.last() != seq {
		t.Errorf("the last line has number %d, last = %d; want %d", last, s.last(), seq)
	}
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"v":1,"seq":99999999,"type":"exec"`) // cut by a crash
	_ = f.Close()
	if n := s.last(); n != seq {
		t.Errorf("last behind half a line = %d; want %d", n, seq)
	}
}
