package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/coi"
)

// grace is what a session gets to end in order when its time is up.
const grace = 5 * time.Second

// clock returns a function that, asked every heartbeat, warns before the time
// limit and says when it is reached. Wall time counts, so a host that slept
// finds the limit passed and gets one minute's warning after it woke.
func (s *Supervisor) clock() func(context.Context) (ending, bool) {
	warned := 0
	last := time.Now().Round(0)
	said := false
	var until time.Time // of the minute after a sleep
	return func(ctx context.Context) (ending, bool) {
		r := s.file.Get()
		now := time.Now().Round(0) // wall clock: the monotonic one stops in sleep
		slept := now.Sub(last) > time.Minute
		last = now
		if r.Deadline == nil {
			return ending{}, false
		}
		if slept && now.After(*r.Deadline) {
			until = now.Add(time.Minute)
			s.warn(ctx, "the time limit passed while the host slept: the session ends in 1 minute")
		}
		for warned < len(r.WarnAt) && !now.Before(r.WarnAt[warned]) {
			warned++
			if left := r.Deadline.Sub(now).Round(time.Second); left > 0 && (warned == len(r.WarnAt) || now.Before(r.WarnAt[warned])) {
				s.warn(ctx, fmt.Sprintf("the session ends in %s (limits.runtime.max_duration)", left))
			}
		}
		if now.Before(*r.Deadline) || now.Before(until) {
			return ending{}, false
		}
		if !r.Plan.AutoStop {
			if !said {
				said = true
				s.Log.Info("limits", "the time limit is reached; limits.runtime.auto_stop is off, so the session goes on")
			}
			return ending{}, false
		}
		next := dead("max_duration", r.Deadline.Local().Format("15:04"), 0)
		next.Timeout, next.Force = grace, !r.Plan.Graceful
		return next, true
	}
}

// warn tells the people in front of the session: in the status line of tmux and
// in the session log, never in the pane itself.
func (s *Supervisor) warn(ctx context.Context, text string) {
	s.Log.Info("limits", "%s", text)
	r := s.file.Get()
	if !r.Plan.Tmux || s.door == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	_, _ = s.door.Exec(ctx, r.Container, incus.Exec{
		UID: r.Plan.UID, GID: r.Plan.UID,
		Argv: []string{"tmux", "display-message", "-d", "10000", "-t", "=" + coi.TmuxSession(r.Container) + ":", "--", "coi: " + text},
	})
}
