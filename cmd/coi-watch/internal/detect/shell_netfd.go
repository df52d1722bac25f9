package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellNetFD = Detector{
	ID: "shell.net-fd", Level: coi.High, Wants: []event.Type{event.FDs},
	Title: "shell holds a network connection",
	Why:   "a shell keeps a connection of its own open and has received data on it",
	Detect: func(_ event.Event, v track.View) []Finding {
		return wired(v, func(w wiring.Verdict) (coi.Level, bool) { return coi.High, w.Shape == wiring.Held }, "shell holds a connection to %s:%d")
	},
	Fire: []Sample{{Level: coi.High, Events: graphSample(wiring.Node{
		PID: 9, Class: "shell", FDs: []wiring.FD{heldSock(5000, 12)},
	})}},
	Quiet: []Sample{
		{Events: graphSample(wiring.Node{PID: 9, Class: "shell", FDs: []wiring.FD{heldSock(100, 0)}})},
		{Events: graphSample(wiring.Node{PID: 9, Class: "downloader", FDs: []wiring.FD{heldSock(9000, 900)}})},
	},
}

func heldSock(age, got int64) wiring.FD {
	fd := outSock(5, "5")
	fd.AgeMS, fd.Received = age, got
	return fd
}
