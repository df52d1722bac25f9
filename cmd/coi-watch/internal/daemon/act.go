package daemon

import (
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// act is what a container was frozen for. One act shows more than once: in the
// text of a shell, in the command it runs with sudo, in that one's child, and in
// the file that is opened at last. A person who lets the container go on lets
// the act happen, not only its first sign.
type act struct {
	rule, path string
	pid        int
	start      uint64
	signs      []event.Type // that this process has shown
	until      time.Time    // zero: not let go
}

// actTime is how long after a thaw further signs belong to the act.
const actTime = 10 * time.Second

func actOf(f detect.Finding, ev event.Event) act {
	return act{rule: f.Rule, path: f.Path, pid: ev.PID, start: ev.Start, signs: []event.Type{ev.Type}}
}

// allowed reports whether a finding is one more sign of the act that was let go.
func (a *act) allowed(f detect.Finding, ev event.Event, now time.Time) bool {
	return !now.After(a.until) && a.shows(f, ev)
}

// shows reports whether a finding is one more sign of the act, which narrows to
// the process of the sign by that: what another child of the first one does is
// a new act, and so is the same sign of the same process.
func (a *act) shows(f detect.Finding, ev event.Event) bool {
	if a.pid <= 0 || f.Rule != a.rule || f.Path != a.path {
		return false
	}
	if ev.PID == a.pid && ev.Start == a.start {
		if slices.Contains(a.signs, ev.Type) {
			return false
		}
		a.signs = append(a.signs, ev.Type)
		return true
	}
	below := slices.ContainsFunc(ev.Chain, func(p event.Ancestor) bool { return p.PID == a.pid })
	if below {
		a.pid, a.start, a.signs = ev.PID, ev.Start, []event.Type{ev.Type}
	}
	return below
}
