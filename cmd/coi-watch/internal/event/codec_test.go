package event

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

func TestRoundTrip(t *testing.T) {
	uid := 0
	want := Event{
		V: 1, Seq: 7, Mono: 5, Type: Exec, PID: 9, PPID: 8, UID: &uid, Exe: "/bin/sh", Argv: []string{"sh", "-c", "a\x01<>&"},
		Chain: []Ancestor{{PID: 8, Exe: "/usr/bin/node"}}, Stdio: []Stdio{{Kind: wiring.Pipe, ID: "1"}, {Kind: wiring.Inet, Peer: "x"}, {Kind: wiring.Null}},
		N: map[string]float64{"out": 1}, Wiring: &wiring.Graph{Nodes: []wiring.Node{{PID: 9, FDs: []wiring.FD{{N: 0, Kind: wiring.Inet, Connected: true}}}}},
	}
	line, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unmarshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, line := range []string{`{"v":2,"type":"exec"}`, `{"v":1,"type":"dance"}`, `{`, `"x"`, `{"type":"exec","argv":"` + strings.Repeat("a", MaxLine) + `"}`} {
		if _, err := Unmarshal([]byte(line)); err == nil {
			t.Errorf("Unmarshal(%.40s) succeeded", line)
		}
	}
}

func TestLimit(t *testing.T) {
	e := Event{Argv: []string{"a", strings.Repeat("é", MaxArgv)}, Text: strings.Repeat("x", 9999), Stdio: make([]Stdio, 2), Chain: make([]Ancestor, 20)}
	e.Limit()
	n := 0
	for _, a := range e.Argv {
		n += len(a)
	}
	if n > MaxArgv || !e.ArgvCut || len(e.Text) != MaxText || e.Stdio != nil || len(e.Chain) != MaxChain {
		t.Errorf("Limit left %d bytes of argv, %d of text, %d stdio, %d parents", n, len(e.Text), len(e.Stdio), len(e.Chain))
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"exec","argv":["sh"],"uid":0,"stdio":[{"kind":"pipe"},{"kind":"null"},{"kind":"null"}],"wiring":{"nodes":[{"pid":1}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Unmarshal(line)
		if err != nil {
			return
		}
		again, err := Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Unmarshal(again); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
