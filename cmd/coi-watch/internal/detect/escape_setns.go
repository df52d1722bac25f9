package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeSetns = Detector{
	ID: "escape.setns", Level: coi.Critical, Wants: []event.Type{event.Setns},
	Title: "joined a namespace from outside",
	Why:   "a process entered a namespace that was not made in this container",
	// The sensor puts n.foreign = 1 when the namespace is none of the container's.
	Detect: func(ev event.Event, _ track.View) []Finding {
		if ev.N["foreign"] == 0 {
			return nil
		}
		level := coi.Critical
		if ev.N["result"] < 0 {
			level = coi.Warning
		}
		return one(Finding{Level: level, Title: "entered a namespace of another container or of the host", PID: ev.PID})
	},
	Fire: events(event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"foreign": 1, "result": 0}}, event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"foreign": 1, "result": -1}}),
	Quiet: append(events(event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"result": 0}}),
		lines("", "nsenter -t 1 -m -u -n -i -p", "docker exec -it web sh", "unshare -r id")...),
}
