package launch

import (
	"context"
	"errors"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/pkg/run"
)

// WatchError says that monitoring is asked for in writing and is not to be had.
type WatchError struct{ Err error }

func (w *WatchError) Error() string {
	return "monitoring.enabled is true and the monitor cannot do its work: " + w.Err.Error()
}
func (w *WatchError) Unwrap() error { return w.Err }

// Hint is the command that mends it.
func (w *WatchError) Hint() string {
	var u *guard.Unavailable
	if errors.As(w.Err, &u) && u.Hint != "" {
		return u.Hint
	}
	return mendWatch
}

// mendWatch is the command that gives the monitor the rights it lacks.
const mendWatch = "coi health --fix"

// watchAnswer is what came of asking the monitor to arm.
type watchAnswer struct {
	status run.WatchStatus
	err    error
}

func (s *start) askWatch(ctx context.Context) error {
	if s.spec.Monitor == Off {
		return nil
	}
	w := guard.OpenWatch(s.Home, s.spec.Record.Container)
	generation, thaw := w.Want.Generation, w.Want.Thaw
	w.Want = s.spec.Watch
	w.Want.Generation, w.Want.Thaw, w.Want.Endcheck = generation, thaw, false
	d, err := guard.Ensure(s.Home, guard.Watcher, s.Getenv)
	if err != nil {
		return s.unwatched(err)
	}
	w.Daemon = d
	s.watch = w
	if err := w.Ask(); err != nil {
		return err
	}
	// The monitor arms while Incus makes the container; the start waits for it.
	s.armed = make(chan watchAnswer, 1)
	go func() { st, err := w.Armed(ctx); s.armed <- watchAnswer{st, err} }()
	return nil
}

// heedWatch waits for the monitor and says what it cannot do. A watch that is
// none counts like one that is not there.
func (s *start) heedWatch() error {
	if s.watch == nil {
		return nil
	}
	a := <-s.armed
	switch {
	case a.err != nil:
		return s.unwatched(a.err)
	case a.status.Weak != "" && s.spec.Monitor == Required:
		return &WatchError{Err: errors.New(a.status.Weak)}
	case a.status.Weak != "":
		s.remark("this session is only weakly monitored: "+a.status.Weak, mendWatch)
	}
	for _, p := range a.status.Problems {
		s.remark("monitor: "+p, "coi watch status")
	}
	s.mark("monitor armed")
	return nil
}

// unwatched: where monitoring is not asked for in writing the session goes on
// without, and says so.
func (s *start) unwatched(err error) error {
	w := &WatchError{Err: err}
	if s.spec.Monitor == Required {
		return w
	}
	s.remark("this session is not monitored: "+err.Error(), w.Hint())
	s.spec.Record.Plan.Watched = false
	s.watch = nil
	return nil
}
