package supervise

import (
	"context"
	"errors"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// wait lets the session live and returns why it has to end.
func (s *Supervisor) wait(ctx context.Context, beat func(*record.Record)) ending {
	var orders <-chan Order
	var client <-chan struct{}
	if s.Orders != nil {
		orders = lines[Order](s.Orders)
	} else if next, done := s.resume(ctx); done {
		return next
	} else {
		client = s.clientGone()
	}
	asked, closeAsked := s.asked()
	defer closeAsked()
	clock := s.clock()
	tick := time.NewTicker(run.HeartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case o, ok := <-orders:
			if !ok {
				orders = nil
				if next, done := s.lost(ctx); done {
					return next
				}
				continue
			}
			if next, done := s.obey(ctx, o); done {
				return next
			}
		case <-client:
			client = nil
			if next, done := s.lost(ctx); done {
				return next
			}
		case t := <-s.tool:
			// The tool of a container that is killed ends with it.
			next, killed := s.killed(ctx)
			if killed {
				return next
			}
			next = dead("exit", "", t.status)
			next.lines = t.lines
			return next
		case <-s.init:
			return s.died(ctx)
		case <-asked:
			if next, done := s.answer(); done {
				return next
			}
		case <-tick.C:
			_ = s.file.Change(beat)
			if next, done := s.answer(); done {
				return next
			}
			if next, done := clock(ctx); done {
				return next
			}
			if s.init == nil && s.file.Get().Phase == run.Running {
				s.settle(ctx, settleAgain)
			}
		}
	}
}

// obey carries out one order; done says that the session has to end.
func (s *Supervisor) obey(ctx context.Context, o Order) (next ending, done bool) {
	switch o.Op {
	case OpUpdate:
		if o.Record == nil {
			return ending{}, false
		}
		_ = s.file.Change(func(r *record.Record) { o.Record.Supervisor = r.Supervisor; *r = *o.Record })
		if o.Record.Phase == run.Running {
			s.Log.Started(o.Record.SessionID)
			s.Log.Info("setup", "Container setup complete!")
			s.settle(ctx, settleTime)
		}
	case OpTool:
		s.watchTool(ctx)
	case OpEnd:
		if next, killed := s.killed(ctx); killed {
			return next, true
		}
		return dead(orExit(o.Reason), o.Detail, o.Status), true
	case OpAbort:
		return ending{abort: true}, true
	}
	return ending{}, false
}

func orExit(reason string) string {
	if reason == "" {
		return "exit"
	}
	return reason
}

// lost is asked when the command that started the session is gone.
func (s *Supervisor) lost(ctx context.Context) (next ending, done bool) {
	r := s.file.Get()
	switch {
	case r.Phase != run.Running:
		return ending{abort: true}, true
	case r.Plan.Tmux:
		s.watchTool(ctx) // detached; a tool that was never started counts as ended
		return ending{}, false
	case r.Kind == record.Launch:
		return ending{}, false
	}
	return dead("exit", "terminal lost", 129), true // 128 + SIGHUP
}

// resume finds out where an earlier supervisor was.
func (s *Supervisor) resume(ctx context.Context) (next ending, done bool) {
	r := s.file.Get()
	if r.Plan.Ending == nil {
		if next, done := s.answer(); done {
			return next, true
		}
	}
	switch {
	case r.Plan.Ending != nil:
		s.goesOn = true
		return ending{Ending: *r.Plan.Ending}, true
	case r.Phase == run.Running:
		s.settle(ctx, settleTime)
		if r.Plan.Tmux {
			s.watchTool(ctx)
		}
	case r.Plan.Client == nil:
		return ending{abort: true}, true
	}
	return ending{}, false
}

func (s *Supervisor) clientGone() <-chan struct{} {
	gone := make(chan struct{})
	close(gone)
	c := s.file.Get().Plan.Client
	if c == nil {
		return nil
	}
	p, err := OpenProcess(c.PID, c.StartTime)
	if err != nil {
		return gone
	}
	return p.Gone()
}

// How long a supervisor asks Incus for its running container before it goes on
// without, to ask again later, and how often meanwhile.
const (
	settleTime  = 30 * time.Second
	settleAgain = time.Second
	settleEvery = 100 * time.Millisecond
)

// settle takes hold of the running container.
func (s *Supervisor) settle(ctx context.Context, limit time.Duration) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	gone := make(chan struct{})
	s.init = gone
	if s.connect(ctx) != nil {
		s.init = nil // looked at again later
		return
	}
	st, err := s.door.State(ctx, s.file.Get().Container)
	for errors.Is(err, incus.ErrUnreachable) && pause(ctx, settleEvery) {
		st, err = s.door.State(ctx, s.file.Get().Container)
	}
	if errors.Is(err, incus.ErrUnreachable) || ctx.Err() != nil {
		s.init = nil // an Incus that is away says nothing of the container
		return
	}
	if err != nil || st.PID <= 0 {
		close(gone)
		return
	}
	p, err := OpenProcess(st.PID, 0)
	if err != nil {
		close(gone)
		return
	}
	s.init, s.process = p.Gone(), p
	s.started(ctx)
}

// killedTime is how long a monitor may take to say that it killed what it had
// frozen: the processes are gone before it writes so.
const killedTime = 5 * time.Second

// died says why a container whose processes are gone is so.
func (s *Supervisor) died(ctx context.Context) ending {
	if next, killed := s.killed(ctx); killed {
		return next
	}
	return dead("exit", "stopped inside", 0)
}

// killed reports whether the monitor ended the container. What stands still
// cannot end by itself.
func (s *Supervisor) killed(ctx context.Context) (next ending, killed bool) {
	path := s.Home.Run(s.file.Get().Container + run.WatchStatusFile)
	var st run.WatchStatus
	if run.Read(path, &st) == nil && st.Killed == nil && st.Frozen != nil && st.FrozenLevel == string(coi.Critical) {
		ctx, stop := context.WithTimeout(ctx, killedTime)
		defer stop()
		_ = run.Wait(ctx, path, func([]byte) bool { return run.Read(path, &st) == nil && st.Killed != nil })
	}
	if st.Killed == nil {
		return ending{}, false
	}
	_ = s.file.Change(func(r *record.Record) { r.Killed = st.Killed })
	return dead("monitor", st.FrozenTitle, 137), true
}

// asked tells when the file of questions may have changed: who asks touches the
// lock of the session. The heartbeat looks as well, for file systems without
// notification.
func (s *Supervisor) asked() (<-chan fsnotify.Event, func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, func() {}
	}
	if w.Add(record.LockPath(s.Home, s.file.Get().Container)) != nil {
		_ = w.Close()
		return nil, func() {}
	}
	out := make(chan fsnotify.Event, 1)
	tell := func(e fsnotify.Event) {
		select {
		case out <- e:
		default:
		}
	}
	go func() {
		for e := range w.Events {
			tell(e)
		}
	}()
	go func() {
		for range w.Errors { // some events were lost
			tell(fsnotify.Event{})
		}
	}()
	return out, func() { _ = w.Close() }
}

func (s *Supervisor) answer() (next ending, done bool) {
	r := s.file.Get()
	a, err := record.ReadAsk(s.Home, r.Container)
	if err != nil || a.Do == "" {
		return ending{}, false
	}
	next = dead(a.Do, a.Detail, 0)
	next.Timeout = time.Duration(a.Timeout) * time.Second
	next.Kill = a.Do == record.AskKill
	next.Force = next.Kill || a.Do == record.AskHalt
	next.Stay = a.Do == record.AskHalt || a.Do == record.AskStop
	if next.Stay {
		next.Reason = record.AskShutdown
	}
	return next, true
}
