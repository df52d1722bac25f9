package supervise

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

const (
	// incusTime is how long Incus may take to freeze what stands still already.
	incusTime = 30 * time.Second
	// unwatchedEvery is how often a session without its monitor says so.
	unwatchedEvery = 10 * time.Minute
	// lookEvery is the net under the notification of a changed file.
	lookEvery = run.HeartbeatEvery
)

// monitor is the part of the monitor's answers that needs Incus, the terminal or
// the right to start programs, none of which it has.
type monitor struct {
	s      *Supervisor
	want   run.Watch
	frozen *run.Mark // the freeze that was told of
	dead   time.Time // since when no monitor lives; zero: one does
	told   time.Time // when that was last said
	closed bool      // the container was frozen because nobody watches
}

// followMonitor goes on until the session ends.
func (s *Supervisor) followMonitor(ctx context.Context) {
	m := &monitor{s: s}
	name := s.file.Get().Container
	for ctx.Err() == nil {
		_ = run.Read(s.Home.Run(name+run.WatchFile), &m.want) // the last good one counts
		var st run.WatchStatus
		if run.Read(s.Home.Run(name+run.WatchStatusFile), &st) == nil {
			m.heed(ctx, st)
		}
		m.lives(ctx)
		s.statusChanged(ctx, name, st)
	}
}

// statusChanged waits until the monitor says something new, or a while.
func (s *Supervisor) statusChanged(ctx context.Context, name string, old run.WatchStatus) {
	ctx, stop := context.WithTimeout(ctx, lookEvery)
	defer stop()
	_ = run.Wait(ctx, s.Home.Run(name+run.WatchStatusFile), func([]byte) bool {
		var st run.WatchStatus
		return run.Read(s.Home.Run(name+run.WatchStatusFile), &st) == nil && !same(st.Frozen, old.Frozen)
	})
}

func same(a, b *run.Mark) bool {
	return a == b || a != nil && b != nil && a.Event == b.Event && a.At.Equal(b.At)
}

// heed tells of a freeze once, and has Incus know of it.
func (m *monitor) heed(ctx context.Context, st run.WatchStatus) {
	switch {
	case same(st.Frozen, m.frozen):
		return
	case st.Frozen == nil:
		m.s.Log.Info("security", "the container goes on")
		m.inTmux(ctx, fmt.Sprintf("the monitor had stopped this session at %s", m.frozen.At.Local().Format(time.TimeOnly)))
		m.frozen = nil
		return
	}
	m.frozen = st.Frozen
	name := m.s.file.Get().Container
	if Ends(st, m.want.Settings) {
		text := fmt.Sprintf("ended by the monitor: %s: %s (audit %s)", st.FrozenLevel, cli.Escape(st.FrozenTitle), st.Frozen.Event)
		m.s.Log.Error("security", "%s", text)
		m.toFiles(name + " " + text)
		return
	}
	text := fmt.Sprintf("frozen by the monitor: %s: %s (audit %s)", st.FrozenLevel, cli.Escape(st.FrozenTitle), st.Frozen.Event)
	m.s.Log.Error("security", "%s; coi unfreeze %s goes on, coi watch allow %s goes on and remembers, coi kill %s ends it", text, name, st.Frozen.Event, name)
	m.toFiles(name + " " + text)
	m.freezeIncus(ctx, name)
}

// Ends reports whether the monitor kills what it froze.
func Ends(st run.WatchStatus, settings run.WatchSettings) bool {
	return st.Frozen != nil && st.FrozenLevel == string(coi.Critical) && settings.AutoKillOnCritical
}

// freezeIncus makes Incus show what the monitor did by the cgroup itself, and
// freezes where the monitor could not. Whoever thawed meanwhile has the last word.
func (m *monitor) freezeIncus(ctx context.Context, name string) {
	ctx, stop := context.WithTimeout(ctx, incusTime)
	defer stop()
	inst, err := m.s.door.Instance(ctx, name)
	if err != nil || inst.Status != "Running" {
		return
	}
	for range freezeTries {
		if err := m.s.door.Freeze(ctx, name); err != nil {
			m.s.Log.Error("security", "Incus does not show the freeze: %s", err.Error())
		}
		if m.stands(name) {
			return
		}
		if err := m.s.door.Thaw(ctx, name); err != nil {
			m.s.Log.Error("security", "thaw through Incus: %s", err.Error())
		}
		if !m.stands(name) {
			return
		}
	}
}

// freezeTries bounds how often Incus is told of thaws and freezes that overtake
// each other.
const freezeTries = 5

// stands reports whether the monitor wants the container frozen at this moment.
func (m *monitor) stands(name string) bool {
	var st run.WatchStatus
	return run.Read(m.s.Home.Run(name+run.WatchStatusFile), &st) != nil || st.Frozen != nil
}

// lives says when nobody watches any more, the start of another monitor having
// failed for as long as a heartbeat may be late, and closes the session if
// monitoring was asked for in writing.
func (m *monitor) lives(ctx context.Context) {
	now := time.Now()
	if guard.Alive(m.s.Home, guard.Watcher) {
		m.dead, m.told, m.closed = time.Time{}, time.Time{}, false
		return
	}
	if m.dead.IsZero() {
		m.dead = now
	}
	r := m.s.file.Get()
	switch {
	case ctx.Err() != nil, now.Sub(m.dead) < run.StaleAfter, m.closed:
	case r.Plan.MustWatch:
		m.closed = true
		m.s.Log.Error("security", "the monitor is gone and cannot be started; monitoring.enabled is true, so the container is frozen; coi health says more")
		m.toFiles(r.Container + " frozen: the monitor is gone")
		if err := m.s.door.Freeze(ctx, r.Container); err != nil {
			m.s.Log.Error("security", "freeze: %s", err.Error())
		}
	case now.Sub(m.told) >= unwatchedEvery:
		m.told = now
		m.s.warn(ctx, "this session is not monitored any more: coi health says more")
	}
}

// toFiles appends a line to each file that monitoring.notify names.
func (m *monitor) toFiles(text string) {
	for _, target := range m.want.Settings.Notify {
		path, ok := strings.CutPrefix(target, "file:")
		if !ok {
			continue
		}
		if err := appendLine(m.s.Home.Expand(path), time.Now().Format(time.RFC3339)+" "+text); err != nil {
			m.s.Log.Error("security", "monitoring.notify: %s", err.Error())
		}
	}
}

func appendLine(path, text string) error {
	f, err := home.OpenAppend(path)
	if err != nil {
		return err
	}
	_, err = f.WriteString(cli.Escape(text) + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// inTmux says in the session's own status line why it stood still, if that is
// asked for. While it does nothing in it can print.
func (m *monitor) inTmux(ctx context.Context, text string) {
	for _, target := range m.want.Settings.Notify {
		if target == "tmux" {
			m.s.warn(ctx, text)
		}
	}
}
