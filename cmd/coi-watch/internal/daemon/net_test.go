package daemon

import (
	"slices"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/netrec"
)

// T-NG-51: who was refused: every process that can have been it, and nobody else.
func TestCandidates(t *testing.T) {
	at := time.Date(2026, 5, 22, 10, 0, 0, 0, time.UTC)
	connect := func(pid int, proto, peer string, port int, after time.Duration) event.Event {
		return event.Event{PID: pid, Proto: proto, Peer: peer, Port: port, TS: at.Add(after)}
	}
	r := netrec.Record{Proto: "tcp", Peer: "10.0.0.5", Port: 5432, TS: at}
	for name, c := range map[string]struct {
		connects []event.Event
		want     []int
	}{
		"one":                      {[]event.Event{connect(1, "tcp", "10.0.0.5", 5432, -10*time.Millisecond)}, []int{1}},
		"two at once":              {[]event.Event{connect(1, "tcp", "10.0.0.5", 5432, 0), connect(2, "tcp", "10.0.0.5", 5432, 900*time.Millisecond), connect(1, "tcp", "10.0.0.5", 5432, 0)}, []int{1, 2}},
		"other address, port":      {[]event.Event{connect(1, "tcp", "10.0.0.6", 5432, 0), connect(2, "tcp", "10.0.0.5", 5433, 0)}, nil},
		"other protocol":           {[]event.Event{connect(1, "udp", "10.0.0.5", 5432, 0)}, nil},
		"the nearest of late ones": {[]event.Event{connect(1, "tcp", "10.0.0.5", 5432, -4*time.Second), connect(2, "tcp", "10.0.0.5", 5432, -2*time.Second), connect(3, "tcp", "10.0.0.5", 5432, 3*time.Second)}, []int{2}},
		"too late":                 {[]event.Event{connect(1, "tcp", "10.0.0.5", 5432, -6*time.Second)}, nil},
	} {
		var got []int
		for _, e := range candidates(c.connects, r) {
			got = append(got, e.PID)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}
