package daemon

import (
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// R-MON-02: what was let go goes on to its end, the next act freezes again.
func TestActIsLetGoOnce(t *testing.T) {
	f := detect.Finding{Rule: "cred.shadow", Path: "/etc/shadow"}
	sign := func(kind event.Type, pid int, parents ...int) event.Event {
		ev := event.Event{Type: kind, PID: pid, Start: uint64(pid)}
		for _, p := range parents {
			ev.Chain = append(ev.Chain, event.Ancestor{PID: p})
		}
		return ev
	}
	now := time.Now()
	a := actOf(f, sign(event.Exec, 100, 1))
	if a.allowed(f, sign(event.Exec, 101, 100, 1), now) {
		t.Error("allowed before anybody let it go")
	}
	a.until = now.Add(actTime)
	for _, s := range []struct {
		what string
		ev   event.Event
		f    detect.Finding
		at   time.Time
		want bool
	}{
		{"the same sign of the same process", sign(event.Exec, 100, 1), f, now, false},
		{"another rule", sign(event.Exec, 101, 100, 1), detect.Finding{Rule: "cred.ssh", Path: "/etc/shadow"}, now, false},
		{"another file", sign(event.Exec, 101, 100, 1), detect.Finding{Rule: "cred.shadow", Path: "/etc/gshadow"}, now, false},
		{"too late", sign(event.Exec, 101, 100, 1), f, now.Add(2 * actTime), false},
		{"sudo, started by the shell", sign(event.Exec, 101, 100, 1), f, now, true},
		{"cat, started by sudo", sign(event.Exec, 102, 101, 100, 1), f, now, true},
		{"the file that cat opens", sign(event.Open, 102, 101, 100, 1), f, now, true},
		{"the file once more", sign(event.Open, 102, 101, 100, 1), f, now, false},
		{"a second sudo of the shell", sign(event.Exec, 103, 100, 1), f, now, false},
		{"a process that has the number of the first", sign(event.Open, 100, 1), f, now, false},
	} {
		if got := a.allowed(s.f, s.ev, s.at); got != s.want {
			t.Errorf("%s: allowed = %v; want %v", s.what, got, s.want)
		}
	}
}
