package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/run"
)

// Live is a session whose container runs, is set up and has its network policy.
type Live struct {
	Spec Spec
	Link *supervise.Link
	Code User // the code user as the container knows it
	IPv4 string
	env  Env
	held *held // the shell of the set-up, until the first command
}

// undoTime is how long a failed start waits for what it made to be gone.
const undoTime = 60 * time.Second

type start struct {
	Env
	spec   *Spec
	link   *supervise.Link
	net    *guard.Net
	watch  *guard.Watch
	armed  chan watchAnswer
	looked chan watchAnswer // what the monitor says of the started container
	ipv4   string
	user   User
	held   *held
}

// Launch carries out a spec. After an error nothing of it is left but logs; an
// older container is left stopped.
func Launch(ctx context.Context, e Env, spec Spec) (*Live, error) {
	s := &start{Env: e, spec: &spec}
	if err := s.announce(ctx); err != nil {
		return nil, s.undo(err)
	}
	for _, step := range []func(context.Context) error{s.address, s.create, s.verify, s.begin, s.setup, s.policy, s.commit} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			s.held.close()
			return nil, s.undo(err)
		}
	}
	return &Live{Spec: spec, Link: s.link, Code: s.user, IPv4: s.ipv4, env: e, held: s.held}, nil
}

// announce writes what is wanted of the guards and starts the supervisor.
func (s *start) announce(ctx context.Context) error {
	rec := &s.spec.Record
	rec.Phase, rec.CreatedAt = run.Creating, time.Now().UTC()
	if err := rec.Write(s.Home); err != nil {
		return err
	}
	link, err := supervise.Spawn(rec.Container, s.Lock)
	if err != nil {
		return err
	}
	s.link = link
	if err := s.askNet(); err != nil {
		return err
	}
	s.mark("wanted files written")
	return s.askWatch(ctx)
}

func (s *start) askNet() error {
	n := guard.OpenNet(s.Home, s.spec.Record.Container)
	generation := n.Want.Generation
	n.Want = s.spec.Net
	n.Want.Generation = generation
	d, err := guard.Ensure(s.Home, guard.Netguard, s.Getenv)
	if err != nil {
		return s.unguarded(err)
	}
	n.Daemon = d
	s.net = n
	return n.Ask(run.NetHold)
}

// unguarded: open mode goes on without a guard, on the default network of
// Incus, nothing else does.
func (s *start) unguarded(err error) error {
	if s.spec.OpenNIC == nil {
		return &GuardError{Err: err}
	}
	if s.net != nil {
		if err := s.net.Remove(); err != nil {
			return err
		}
	}
	s.net = nil
	s.spec.Record.Plan.Unguarded = true
	s.spec.Devices["eth0"] = s.spec.OpenNIC
	s.remark("this session has no network guard: "+err.Error(), "coi health")
	return nil
}

// remark tells the user, and the record, from which list repeats it.
func (s *start) remark(text, hint string) {
	s.Warn(text, hint)
	s.spec.Record.Warnings = append(s.spec.Record.Warnings, text)
}

// GuardError says that the firewall is not there to guard the session.
type GuardError struct{ Err error }

func (g *GuardError) Error() string { return "network guard: " + g.Err.Error() }
func (g *GuardError) Unwrap() error { return g.Err }

// Hint is the command that mends it.
func (g *GuardError) Hint() string {
	var u *guard.Unavailable
	if errors.As(g.Err, &u) && u.Hint != "" {
		return u.Hint
	}
	return "coi health"
}

func (s *start) address(ctx context.Context) error {
	if s.net == nil {
		return nil
	}
	st, err := s.net.Answer(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return s.unguarded(err)
	}
	if st.IPv4 == "" {
		return s.unguarded(errors.New("it gave no address"))
	}
	s.ipv4 = st.IPv4
	nic := incus.Device{"type": "nic", "nictype": "routed", "name": "eth0", "host_name": s.spec.Record.Veth, "ipv4.address": st.IPv4}
	if st.IPv6 != "" {
		nic["ipv6.address"] = st.IPv6
	}
	if n := s.spec.Record.Container; run.IsProbe(n) && strings.HasSuffix(n, "-a") {
		nic["ipv4.routes"] = run.ProbeSpoof + "/32"
	}
	for _, a := range s.spec.Net.Policy.ExtraAddresses {
		key := "ipv4.address"
		if strings.Contains(a, ":") {
			key = "ipv6.address"
		}
		nic[key] += "," + a
	}
	s.spec.Devices["eth0"] = nic
	s.mark("guard answered")
	return nil
}

func (s *start) create(ctx context.Context) error {
	if old := s.spec.Old; old != nil {
		if err := s.Door.Update(ctx, *old, keepVolatile(s.spec.Config, old.Config), s.spec.Devices); err != nil {
			return fmt.Errorf("update %s: %w", old.Name, err)
		}
	} else if err := s.Door.Create(ctx, incus.Request{Name: s.spec.Record.Container, Source: s.spec.Source, Config: s.spec.Config, Devices: s.spec.Devices}); err != nil {
		return fmt.Errorf("create %s: %w", s.spec.Record.Container, err)
	}
	if s.Created != nil {
		s.Created()
	}
	s.mark("created")
	return nil
}

// begin pushes the boot files, waits for the monitor and starts the container.
func (s *start) begin(ctx context.Context) error {
	name := s.spec.Record.Container
	if len(s.spec.Boot) > 0 {
		if err := s.Door.Boot(ctx, name, s.spec.Boot); err != nil {
			return fmt.Errorf("prepare %s: %w", name, err)
		}
		s.mark("boot files pushed")
	}
	if err := s.heedWatch(); err != nil {
		return err
	}
	s.spec.Record.Phase = run.Starting
	if err := s.tell(); err != nil {
		return err
	}
	starting, stop := context.WithTimeoutCause(ctx, s.spec.Ready, fmt.Errorf("Incus did not start it within %s; is somebody copying its files?", s.spec.Ready))
	defer stop()
	if err := s.Door.Start(starting, name); err != nil {
		if ctx.Err() == nil && starting.Err() != nil {
			err = context.Cause(starting)
		}
		// An init that gives up at once ends some starts in the middle, and its
		// last words are on the console alone.
		after := context.WithoutCancel(ctx)
		lines := append(lastLines(s.Door.StartLog(after, name), 20), lastLines(s.Door.ConsoleLog(after, name), 20)...)
		return &StartError{Name: name, Err: err, Lines: lines}
	}
	s.mark("started")
	s.letLook(ctx)
	return nil
}

// lookTime is how long the monitor may take to look at the started container:
// to compare its mounts and to mark its files.
const lookTime = 5 * time.Second

// letLook asks the monitor, while the set-up runs.
func (s *start) letLook(ctx context.Context) {
	s.looked = make(chan watchAnswer, 1)
	if s.watch == nil {
		s.looked <- watchAnswer{}
		return
	}
	go func() {
		ctx, stop := context.WithTimeout(ctx, lookTime)
		defer stop()
		st, err := s.watch.Mounts(ctx)
		s.looked <- watchAnswer{st, err}
	}()
}

// checkMounts: no packet passes before what is mounted is what was checked, and
// no tool starts before its files are watched.
func (s *start) checkMounts() error {
	l := <-s.looked
	if l.err != nil {
		if err := s.unwatched(fmt.Errorf("it did not look at the started container: %w", l.err)); err != nil {
			return err
		}
	} else if words := l.status.Mounts; words != "" && words != "verified" {
		return fmt.Errorf("mounts: %s", words)
	}
	for _, p := range l.status.Problems {
		if text := "monitor: " + p; !slices.Contains(s.spec.Record.Warnings, text) {
			s.remark(text, "coi watch status")
		}
	}
	if s.spec.Reopen == nil {
		return nil
	}
	return s.spec.Reopen()
}

// StartError says that a container did not start or did not become ready.
type StartError struct {
	Name  string
	Err   error
	Lines []string // the end of its start log and of its console
}

func (e *StartError) Error() string { return "start " + e.Name + ": " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

func (s *start) tell() error {
	rec := s.spec.Record
	if err := s.link.Send(supervise.Order{Op: supervise.OpUpdate, Record: &rec}); err != nil {
		return supervise.ErrGone
	}
	return nil
}

// policy lets the container onto the network, as far as its policy goes.
func (s *start) policy(ctx context.Context) error {
	if err := s.checkMounts(); err != nil {
		return err
	}
	if s.net == nil {
		return nil
	}
	if err := s.net.Ask(run.NetPolicy); err != nil {
		return err
	}
	st, err := s.net.Answer(ctx)
	switch {
	case err != nil && s.spec.OpenNIC != nil && ctx.Err() == nil:
		// The nic is the guarded one by now: nothing passes until the guard is back.
		s.remark("network guard: "+err.Error()+"; the network stays closed until it answers", "coi health")
		return nil
	case err != nil:
		return &GuardError{Err: err}
	}
	if st.State == run.NetDegraded {
		for _, p := range st.Problems {
			s.Warn("network guard: " + p)
			s.spec.Record.Warnings = append(s.spec.Record.Warnings, "guard: "+p)
		}
	}
	s.mark("policy in force")
	return nil
}

// commit hands the running session to the supervisor.
func (s *start) commit(ctx context.Context) error {
	now := time.Now().UTC()
	rec := &s.spec.Record
	rec.Phase, rec.StartedAt = run.Running, &now
	if _, err := s.link.Await(ctx, supervise.OpReady, nil); err != nil {
		return err
	}
	return s.tell()
}

// undo waits until the supervisor has taken back what was made.
func (s *start) undo(cause error) error {
	ctx, stop := context.WithTimeout(context.Background(), undoTime)
	defer stop()
	if s.link == nil {
		removeWanted(s.Home, s.spec.Record.Container)
		s.Lock.Unlock()
		return cause
	}
	err := s.link.Send(supervise.Order{Op: supervise.OpAbort})
	var done supervise.Report
	if err == nil {
		done, err = s.link.Await(ctx, supervise.OpDone, nil)
	}
	s.link.Close()
	if err != nil {
		// It died before it could undo: another one does, as after any crash.
		supervise.Revive(s.Home)
		return fmt.Errorf("%w (what was made of %s is being removed)", cause, s.spec.Record.Container)
	}
	if done.Outcome == "failed" {
		return fmt.Errorf("%w (%s could not be removed: %s)", cause, s.spec.Record.Container, done.Text)
	}
	return cause
}
