package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/thaw"
	"github.com/code-on-incus/coi/pkg/run"
)

// patience is how long the end tries to reach an Incus that is away.
const patience = 5 * time.Minute

// stopTime bounds a forced stop: Incus runs hooks after the last process died.
const stopTime = 60 * time.Second

// end brings a session to its end. An Incus that goes away in the middle is
// waited for; what is done by then is not done again. One that stays away leaves
// the record as it is, for the next command.
func (s *Supervisor) end(ctx context.Context, next ending) error {
	s.cease()
	if next.At.IsZero() {
		next.At = time.Now().UTC()
	}
	end := next.End
	if err := s.begun(next.Ending); err != nil {
		return err
	}
	s.report(Report{Op: OpEnding, Reason: end.Reason, Detail: end.Detail, Status: end.Status, Text: next.lines})
	closed := make(chan struct{})
	go func() { defer close(closed); s.closeNet(ctx) }()
	for {
		inst, err := s.reach(ctx)
		if errors.Is(err, incus.ErrUnreachable) {
			<-closed
			s.Log.Error("session", "Incus is not reachable, nothing was deleted: %s", err.Error())
			return err
		}
		done, why, err := s.steps(ctx, inst, err, next)
		<-closed
		switch {
		case errors.Is(err, incus.ErrUnreachable):
			s.Log.Error("session", "Incus went away while the session ended: %s", err.Error())
		case err != nil:
			return s.keep(end, why+": "+err.Error())
		case why != "":
			return s.keep(end, why)
		default:
			return s.finish(end, done)
		}
	}
}

// steps does what is left of an end in the fixed order: thawed, stopped,
// verified, saved, copied where the monitor killed it, deleted. The instance, or why there is none, is what Incus
// said just now. why says what keeps the container, together with the error if
// one does.
func (s *Supervisor) steps(ctx context.Context, inst incus.Instance, err error, next ending) (done Report, why string, _ error) {
	done.Outcome = "deleted"
	if err == nil && !inst.Running() {
		// Whoever starts it may be at it this moment.
		inst, err = s.settled(ctx, inst.Name)
	}
	if errors.Is(err, incus.ErrNotFound) {
		s.verify(ctx)
		done.Text = "the container was gone already"
		return done, "", nil
	}
	if err != nil {
		return done, "Incus", err
	}
	const unstopped = "it cannot be stopped"
	stopped, err := s.stop(ctx, inst, next)
	if err != nil {
		return done, unstopped, err
	}
	finished := sync.OnceValue(func() error { return <-stopped })
	safe, err := s.secure(ctx, inst, next.Kill, finished)
	if errors.Is(err, incus.ErrUnreachable) {
		return done, unstopped, err
	}
	s.report(safe)
	if err := finished(); err != nil {
		return done, unstopped, err
	}
	if err := s.forensics(ctx, inst.Name, next); err != nil {
		return done, "it is the only evidence", err
	}
	s.expire(ctx)
	why, err = s.keepWhy(ctx, inst, next, safe)
	if why == "" && err == nil {
		why, err = "it cannot be deleted", s.remove(ctx, inst.Name)
		if err == nil {
			why = ""
		}
	}
	return done, why, err
}

// begun writes down that the end has begun and how, before the first of its
// steps; what was asked stays in its own file until it is here.
func (s *Supervisor) begun(e record.Ending) error {
	err := s.file.Change(func(r *record.Record) { r.Phase, r.Plan.Ending = run.Saving, &e })
	if err == nil {
		record.RemoveAsk(s.Home, s.file.Get().Container)
	}
	return err
}

// did writes down that steps of the end are done, for whoever goes on with it.
func (s *Supervisor) did(step func(*record.Ending)) {
	err := s.file.Change(func(r *record.Record) {
		e := *r.Plan.Ending
		step(&e)
		r.Plan.Ending = &e
	})
	if err != nil {
		s.Log.Error("session", "%s", err.Error())
	}
}

// removeTime bounds the tries to delete a container. One whose processes the
// monitor killed counts as running until Incus has been through its own hooks.
const removeTime = 15 * time.Second

// remove deletes a stopped container, trying again while Incus is busy with it.
// One that a start on its way has brought up meanwhile is stopped again.
func (s *Supervisor) remove(ctx context.Context, name string) error {
	limited, stop := context.WithTimeout(ctx, removeTime)
	defer stop()
	for {
		err := s.door.Delete(ctx, name)
		if err == nil || errors.Is(err, incus.ErrNotFound) {
			return nil
		}
		if errors.Is(err, incus.ErrUnreachable) {
			return err
		}
		inst, ierr := s.door.Instance(ctx, name)
		switch {
		case errors.Is(ierr, incus.ErrNotFound):
			return nil // somebody else deleted it
		case ierr == nil && inst.Running():
			err = errors.Join(err, s.stopNow(ctx, inst, ending{Ending: record.Ending{Force: true}}))
		}
		if !pause(limited, 200*time.Millisecond) {
			return err
		}
	}
}

// closeNet shuts the network of the container. Its failure is told and does not
// hold up the end: the stop ends the traffic as well.
func (s *Supervisor) closeNet(ctx context.Context) {
	r := s.file.Get()
	if r.Plan.Unguarded {
		return
	}
	n := guard.OpenNet(s.Home, r.Container)
	if n.Want.Veth == "" {
		return
	}
	err := n.Ask(run.NetClosed)
	if err == nil && guard.Alive(s.Home, guard.Netguard) {
		_, err = n.Answer(ctx)
	}
	if err != nil {
		s.Log.Error("network", "closing the network: %s", err.Error())
	}
}

// reach waits for Incus and asks it for the container; the error is Incus' word
// on the container, or wraps ErrUnreachable when patience is over.
func (s *Supervisor) reach(ctx context.Context) (incus.Instance, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for connected := s.door != nil; ; connected = false {
		var err error
		if !connected {
			err = s.connect(ctx)
		}
		if err == nil {
			var inst incus.Instance
			if inst, err = s.door.Instance(ctx, s.file.Get().Container); !errors.Is(err, incus.ErrUnreachable) {
				return inst, err
			}
			if connected {
				continue // it may be the connection only
			}
		}
		select {
		case <-ctx.Done():
			if !errors.Is(err, incus.ErrUnreachable) {
				err = fmt.Errorf("%w: %w", incus.ErrUnreachable, err)
			}
			return incus.Instance{}, err
		case <-time.After(time.Second):
		}
	}
}

// stop ends the processes of the container. When it returns they are dead; the
// channel tells when Incus has finished its part.
func (s *Supervisor) stop(ctx context.Context, inst incus.Instance, next ending) (<-chan error, error) {
	done := make(chan error, 1)
	if !inst.Running() {
		done <- nil
		return done, nil
	}
	if err := thaw.Container(ctx, s.Home, s.door, inst); err != nil {
		return nil, err
	}
	gone := s.init
	if gone == nil {
		if st, err := s.door.State(ctx, inst.Name); err == nil && st.PID > 0 {
			if p, err := OpenProcess(st.PID, 0); err == nil {
				gone, s.process = p.Gone(), p
			}
		}
	}
	go func() { done <- s.stopNow(ctx, inst, next) }()
	if gone == nil {
		err := <-done
		done <- err
		return done, err
	}
	limited, cancel := context.WithTimeout(ctx, stopTime+s.grace(next))
	defer cancel()
	if err := s.awaitDeath(limited, gone, inst); err != nil {
		return nil, fmt.Errorf("its processes do not die: %w", err)
	}
	return done, nil
}

// frostEvery is how often it is looked whether a container that is to stop was
// frozen meanwhile.
const frostEvery = 250 * time.Millisecond

// awaitDeath waits for the end of init. What ran on after the thaw may be found
// hostile and be frozen once more, and in a freezer of version 1 nothing dies.
func (s *Supervisor) awaitDeath(ctx context.Context, gone <-chan struct{}, inst incus.Instance) error {
	look := time.NewTicker(frostEvery)
	defer look.Stop()
	for {
		select {
		case <-gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if !thaw.Frozen(inst) {
				continue
			}
			if err := thaw.Container(ctx, s.Home, s.door, inst); err != nil {
				s.Log.Error("session", "frozen while it stops: %s", err.Error())
			}
		}
	}
}

// gently reports whether something inside may want to be written down.
func (s *Supervisor) gently(inst incus.Instance, next ending) bool {
	return !next.Force && (inst.Config["user.coi.persistent"] == "true" || next.Reason == record.AskShutdown || next.Reason == "max_duration")
}

// grace is how long a graceful stop may take.
func (s *Supervisor) grace(next ending) time.Duration {
	if next.Timeout > 0 {
		return next.Timeout
	}
	return time.Duration(max(s.file.Get().Plan.StopTimeout, 1)) * time.Second
}

// listenTime bounds how long an init may take until it can be asked to stop.
const listenTime = 5 * time.Second

// stopNow stops gracefully where that may matter, and by force where the
// container is thrown away or grace did not help. Both are Incus' to do: of one
// whose init just died it says stopped, running and stopped again.
func (s *Supervisor) stopNow(ctx context.Context, inst incus.Instance, next ending) error {
	if s.gently(inst, next) {
		s.awaitInit(ctx)
		c, stop := context.WithTimeout(ctx, s.grace(next)+stopTime)
		defer stop()
		if s.door.Stop(c, inst.Name, false, s.grace(next)) == nil {
			return s.stopped(c, inst.Name)
		}
	}
	c, stop := context.WithTimeout(ctx, stopTime)
	defer stop()
	if err := s.door.Stop(c, inst.Name, true, 0); err != nil {
		// A container that is going down by itself refuses to be stopped.
		if s.stopped(c, inst.Name) != nil {
			return err
		}
	}
	return nil
}

func (s *Supervisor) awaitInit(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, listenTime)
	defer stop()
	for s.process != nil && !s.process.Listens() && pause(ctx, 20*time.Millisecond) {
	}
}

// stopped waits until Incus sees the container as stopped. While its hooks run
// after the death of init, Incus says Error for a moment.
func (s *Supervisor) stopped(ctx context.Context, name string) error {
	for {
		inst, err := s.door.Instance(ctx, name)
		if errors.Is(err, incus.ErrNotFound) || err == nil && inst.Status == "Stopped" {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// keepWhy says why the stopped container must not be deleted, "" when it may.
func (s *Supervisor) keepWhy(ctx context.Context, inst incus.Instance, next ending, safe Report) (string, error) {
	if next.Kill {
		return "", nil
	}
	if next.Stay {
		return "it was stopped, not ended", nil
	}
	if safe.Outcome == failed {
		return "the session could not be saved: " + safe.Text, nil
	}
	// persist may have been typed while the session ran.
	now, err := s.door.Instance(ctx, inst.Name)
	if err != nil && !errors.Is(err, incus.ErrNotFound) {
		return "Incus does not say whether it is persistent", err
	}
	if now.Config["user.coi.persistent"] == "true" {
		return persistent, nil
	}
	snaps, err := s.door.Snapshots(ctx, inst.Name)
	if err != nil && !errors.Is(err, incus.ErrNotFound) {
		return "its snapshots cannot be listed", err
	}
	switch len(snaps) {
	case 0:
		return "", nil
	case 1:
		return "it has 1 snapshot (coi kill deletes it)", nil
	}
	return fmt.Sprintf("it has %d snapshots (coi kill deletes them)", len(snaps)), nil
}

// Words of outcomes.
const (
	persistent = "persistent"
	failed     = "failed"
)

// keep leaves the container where it is, its network closed.
func (s *Supervisor) keep(end run.End, why string) error {
	ctx, stop := context.WithTimeout(context.Background(), stopTime)
	defer stop()
	if err := s.strip(ctx, s.file.Get().Container); err != nil {
		s.Log.Error("session", "taking workspace devices out of the stopped container: %s", err.Error())
	}
	if why != persistent {
		s.Log.Error("session", "container kept: %s", why)
	}
	return s.finish(end, Report{Outcome: "kept", Text: why})
}

// strip takes the devices with sources inside the workspace out of a stopped
// container, so that a start by hand follows no link planted meanwhile.
func (s *Supervisor) strip(ctx context.Context, name string) error {
	inst, err := s.door.Instance(ctx, name)
	if err != nil || inst.Running() {
		return err
	}
	workspace := s.file.Get().Workspace
	devices, changed := map[string]incus.Device{}, false
	for n, d := range inst.Devices {
		inside := d["type"] == "disk" && workspace != "" && strings.HasPrefix(d["source"], workspace+"/")
		if inside || strings.HasPrefix(n, "anchor-") || strings.HasPrefix(n, "protect-") || strings.HasPrefix(n, "mask-") || strings.HasPrefix(n, "gitc-") || strings.HasPrefix(n, "cover-") {
			changed = true
			continue
		}
		devices[n] = d
	}
	if !changed {
		return nil
	}
	return s.door.Update(ctx, inst, inst.Config, devices)
}

// finish lets the guards go, as far as the container is gone, and closes the record.
func (s *Supervisor) finish(end run.End, done Report) error {
	r := s.file.Get()
	s.letGo(r, done.Outcome == "deleted")
	if r.Plan.Ending.Verified || done.Outcome == "deleted" {
		s.clear()
	}
	s.Log.Ended(end.Reason)
	err := s.file.Change(func(r *record.Record) {
		r.Phase, r.Ended, r.Plan.Ending, r.Supervisor = run.Ended, &end, nil, nil
		r.Plan.Client, r.Plan.Outcome = nil, done.Text
	})
	done.Op, done.Reason, done.Detail, done.Status = OpDone, end.Reason, end.Detail, end.Status
	s.report(done)
	return err
}

func (s *Supervisor) letGo(r record.Record, gone bool) {
	_ = guard.OpenWatch(s.Home, r.Container).Remove()
	if gone {
		if err := guard.OpenNet(s.Home, r.Container).Remove(); err != nil {
			s.Log.Error("network", "%s", err.Error())
		}
		for _, suffix := range []string{run.NetLocalFile, run.NetHoldFile, ".agent"} {
			_ = os.Remove(s.Home.Run(r.Container + suffix))
		}
	}
	record.RemoveAsk(s.Home, r.Container)
}

// undo takes back a start that failed. A container that is older than this
// start is left stopped.
func (s *Supervisor) undo(ctx context.Context) error {
	s.cease()
	// Whoever wants the name next waits for this, as for any other end.
	_ = s.file.Change(func(r *record.Record) { r.Phase = run.Saving })
	r := s.file.Get()
	s.closeNet(ctx)
	outcome, why := "deleted", ""
	if err := s.undoContainer(ctx, r); err != nil {
		outcome, why = failed, err.Error()
		s.Log.Error("session", "undoing the start: %s", why)
	}
	if r.Plan.Existed && outcome != failed {
		outcome = "kept"
	}
	if outcome != failed { // else the next command tries again
		s.letGo(r, outcome == "deleted")
		s.clear()
		_ = os.Remove(record.Path(s.Home, r.Container))
		_ = os.Remove(record.LockPath(s.Home, r.Container))
	}
	s.report(Report{Op: OpDone, Outcome: outcome, Text: why})
	return nil
}

func (s *Supervisor) undoContainer(ctx context.Context, r record.Record) error {
	if _, err := s.reach(ctx); errors.Is(err, incus.ErrUnreachable) {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 2*stopTime)
	defer stop()
	inst, err := s.settled(ctx, r.Container)
	if errors.Is(err, incus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if inst.Running() {
		if err := thaw.Container(ctx, s.Home, s.door, inst); err != nil {
			return err
		}
		if err := s.stopNow(ctx, inst, ending{Ending: record.Ending{Force: true}}); err != nil {
			return err
		}
	}
	if r.Plan.Existed {
		return s.strip(ctx, inst.Name)
	}
	return s.door.Delete(ctx, inst.Name)
}

// settled is the container once nothing is being done to it. The command that
// began may be dead with its last question still on the way to Incus, so a
// container that is not there is looked for once more.
func (s *Supervisor) settled(ctx context.Context, name string) (incus.Instance, error) {
	for try := 0; ; try++ {
		if err := s.door.Settle(ctx, name); err != nil {
			return incus.Instance{}, err
		}
		inst, err := s.door.Instance(ctx, name)
		if !errors.Is(err, incus.ErrNotFound) || try > 0 {
			return inst, err
		}
		select {
		case <-ctx.Done():
			return inst, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}
