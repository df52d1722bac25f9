package detect

import (
	"fmt"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

// wired turns the verdicts of one shape into findings.
func wired(v track.View, want func(wiring.Verdict) (coi.Level, bool), title string) []Finding {
	var out []Finding
	for _, w := range v.Wiring() {
		level, ok := want(w)
		if !ok {
			continue
		}
		out = append(out, Finding{
			Level: level, Title: fmt.Sprintf(title, w.Peer, w.Port), PID: w.Node.PID, Peer: w.Peer, Port: w.Port,
			Command: cut(joined(w.Node.Argv), 400), Evidence: map[string]string{"path": fmt.Sprint(w.Path)},
		})
	}
	return out
}

func joined(argv []string) string { return (&command.Simple{Argv: argv}).Line() }

// graphSample is a recording of one moment, for samples.
func graphSample(nodes ...wiring.Node) []event.Event {
	return []event.Event{{Type: event.FDs, Wiring: &wiring.Graph{Nodes: nodes}}}
}

func outSock(n int, id string) wiring.FD {
	return wiring.FD{N: n, Kind: wiring.Inet, ID: id, Read: true, Write: true, Proto: "tcp", Peer: "198.51.100.7", Port: 4242, Connected: true}
}
