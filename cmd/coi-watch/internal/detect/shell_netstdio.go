package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellNetStdio = Detector{
	ID: "shell.net-stdio", Level: coi.Critical, Wants: []event.Type{event.FDs},
	Title: "shell connected to the network",
	Why:   "standard input and output of a shell are a network connection",
	Detect: func(_ event.Event, v track.View) []Finding {
		return wired(v, func(w wiring.Verdict) (coi.Level, bool) {
			return coi.Critical, w.Shape == wiring.Stdio && !w.Accepted
		}, "shell connected to %s:%d")
	},
	Fire: []Sample{{Level: coi.Critical, Events: graphSample(wiring.Node{
		PID: 9, Class: "shell", Argv: []string{"x"}, FDs: []wiring.FD{outSock(0, "1"), outSock(1, "1"), outSock(2, "1")},
	})}},
	Quiet: []Sample{{Events: graphSample(wiring.Node{
		PID: 9, Class: "ssh", Argv: []string{"ssh", "h"}, FDs: []wiring.FD{outSock(3, "1")},
	})}, {Events: graphSample(wiring.Node{
		PID: 9, Class: "shell", Role: wiring.Relay, FDs: []wiring.FD{outSock(0, "1"), outSock(1, "1")},
	})}},
}
