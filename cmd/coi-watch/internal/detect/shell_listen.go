package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellListen = Detector{
	ID: "shell.listen", Level: coi.High, Wants: []event.Type{event.FDs},
	Title: "shell behind a listening port",
	Why:   "somebody outside connected to a port and got a shell",
	Detect: func(_ event.Event, v track.View) []Finding {
		return wired(v, func(w wiring.Verdict) (coi.Level, bool) { return coi.High, w.Accepted }, "shell given to %s:%d")
	},
	Fire: []Sample{{Level: coi.High, Events: graphSample(wiring.Node{
		PID: 9, Class: "shell", FDs: []wiring.FD{acceptedSock(0), acceptedSock(1)},
	})}},
	Quiet: []Sample{{Events: graphSample(wiring.Node{
		PID: 9, Class: "interpreter", Argv: []string{"node", "server.js"}, FDs: []wiring.FD{acceptedSock(8)},
	})}},
}

func acceptedSock(n int) wiring.FD {
	fd := outSock(n, "7")
	fd.Accepted = true
	return fd
}
