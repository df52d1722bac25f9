package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/evidence"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/trail"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/redact"
	"github.com/code-on-incus/coi/pkg/run"
)

// Trail takes records to the audit trail. None of its methods waits for a disk.
type Trail interface {
	Watch(w run.Watch)
	Put(container string, r audit.Record) string
	Drop(container string)
	Redactor(container string) *redact.Redactor
}

// responder answers findings. There is one for a container, whatever the
// source of a finding, and it knows one state.
type responder struct {
	c       *container
	killed  bool
	pending bool   // the freezer has not obeyed yet
	failed  bool   // and that was told
	from    uint64 // group that the restored state is about
	dedup   dedup
	frozen  map[string][]time.Time // when each rule froze the container
	count   int                    // findings at warning or above
	act     act                    // of the last freeze
}

// freezeBudget is how long the goroutine of the container waits for the
// freezer; what needs longer is tried again each second.
const freezeBudget = 500 * time.Millisecond

// found acts on one finding: first the freezer, then the network, then
// everything that may take time or fail.
func (r *responder) found(f detect.Finding, ev event.Event) {
	action := r.decide(f, ev)
	already := r.c.status.Frozen != nil
	switch {
	case action == audit.Paused && already:
		r.act.shows(f, ev)
		action = audit.Logged
	case action == audit.Paused && r.act.allowed(f, ev, time.Now()):
		action = audit.Alerted
	case action == audit.Paused || action == audit.Killed:
		r.stop()
	}
	id := r.record(f, ev, action)
	if id == "" {
		return
	}
	if action == audit.Paused || action == audit.Killed {
		if !already {
			r.act = actOf(f, ev)
			r.mark(f, id)
		}
		r.keep(f, ev, id, action == audit.Killed)
	} else if already && f.Level.Rank() >= coi.High.Rank() {
		r.keep(f, ev, id, false)
	}
}

// decide is the action that level, switches and the allow list ask for.
func (r *responder) decide(f detect.Finding, ev event.Event) string {
	s := r.c.cfg.Settings
	if f.Level.Rank() < coi.Warning.Rank() {
		return audit.Logged
	}
	sha := func() string { return scene.SHA(r.c.scene.Root, ev.Exe) }
	if _, ok := r.c.d.allow.find(f, r.c.clean(ev), r.c.cfg, sha); ok {
		return audit.Allowed
	}
	r.count++
	switch {
	case f.Level == coi.Warning, r.c.d.DryRun, r.c.group == nil:
		return audit.Alerted
	case f.Level == coi.Critical && s.AutoKillOnCritical:
		return audit.Killed
	case s.AutoPauseOnHigh:
		return audit.Paused
	}
	return audit.Alerted
}

// stop freezes the container and closes its network. Both are done at once,
// whatever becomes of the other and of everything after them.
func (r *responder) stop() {
	held := make(chan error, 1)
	go func() { held <- r.hold(true, "frozen by coi-watch") }()
	ctx, cancel := context.WithTimeout(context.Background(), freezeBudget)
	defer cancel()
	if err := r.c.group.Freeze(ctx); err != nil {
		r.pending = true
		r.c.d.logf("%s: freeze: %v", r.c.name, err)
	}
	if err := <-held; err != nil {
		r.c.d.logf("%s: %v", r.c.name, err)
	}
}

// mark tells the supervisor that the container is frozen.
func (r *responder) mark(f detect.Finding, id string) {
	r.c.status.Frozen = &run.Mark{At: time.Now().UTC(), Event: id}
	r.c.status.FrozenTitle, r.c.status.FrozenLevel = f.Title, string(f.Level)
	r.c.arm()
	r.c.report()
	r.save()
}

// hold asks the guard to drop every packet, or no longer to.
func (r *responder) hold(on bool, why string) error {
	path := r.c.d.Home.Run(r.c.name + run.NetHoldFile)
	var h run.Hold
	if err := run.Read(path, &h); err != nil && !on {
		return nil //nolint:nilerr // no hold was ever asked for
	}
	h.SchemaVersion, h.Hold, h.Reason = run.Schema, on, why
	h.Generation++
	if err := run.Write(path, h); err != nil {
		return fmt.Errorf("network hold: %w", err)
	}
	return nil
}

// retry tells a freezer again that did not obey in time, and says so once.
func (r *responder) retry(ctx context.Context) {
	if !r.pending || r.c.group == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freezeBudget)
	defer cancel()
	err := r.c.group.Freeze(ctx)
	if err == nil {
		r.pending, r.failed = false, false
		r.c.arm()
		r.c.report()
		return
	}
	if !r.failed {
		r.failed = true
		r.note("response.failed", coi.High, audit.Failed, "the container does not freeze", err.Error())
	}
}

// keep saves the evidence; a container that is to be killed is killed after
// that, or after four seconds.
func (r *responder) keep(f detect.Finding, ev event.Event, id string, kill bool) {
	c := r.c
	done := make(chan struct{})
	cs := c.caseOf(f, ev, id)
	go func() {
		defer close(done)
		if cs.Root != nil {
			defer cs.Root.Close()
		}
		if err := evidence.Save(c.d.Home, cs); err != nil {
			c.d.logf("%s: evidence: %v", c.name, err)
		}
	}()
	if !kill {
		return
	}
	group := c.group.ID
	go func() {
		t := time.NewTimer(4 * time.Second)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
		c.post(context.Background(), func(c *container) {
			if c.group != nil && c.group.ID == group && !c.resp.killed {
				c.resp.kill(id)
			}
		})
	}()
}

func (r *responder) kill(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.c.group.Kill(ctx); err != nil && !r.c.group.Gone() {
		r.c.complain(fmt.Errorf("kill: %w", err))
	}
	r.killed, r.pending = true, false
	r.c.status.Killed = &run.Mark{At: time.Now().UTC(), Event: id}
	r.c.report()
	r.save()
	r.note("life.killed", coi.Info, audit.Killed, "container ended by the monitor", "")
}

// thaw lets the container go on because a person said so.
func (r *responder) thaw(number int) {
	if r.c.group != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := r.c.group.Thaw(ctx); err != nil {
			r.c.complain(fmt.Errorf("thaw: %w", err))
			return
		}
	}
	r.c.status.Thaw = number
	r.act.until = time.Now().Add(actTime)
	r.thawed("thawed by user")
}

// thawed forgets that the container was frozen, however it came to go on: the
// next finding freezes it again.
func (r *responder) thawed(title string) {
	r.pending = false
	r.dedup.clear()
	r.c.judge.Forget()
	r.c.status.Frozen, r.c.status.FrozenTitle, r.c.status.FrozenLevel = nil, "", ""
	if err := r.hold(false, ""); err != nil {
		r.c.d.logf("%s: %v", r.c.name, err)
	}
	r.c.report()
	r.save()
	r.note("life.thaw", coi.Info, audit.Logged, title, "")
}

// loopWindow and loopCount say when freezing goes round in circles.
const (
	loopWindow = 10 * time.Minute
	loopCount  = 3
)

// circles counts how often a rule froze the container lately.
func (r *responder) circles(rule string, now time.Time) bool {
	if r.frozen == nil {
		r.frozen = map[string][]time.Time{}
	}
	var rest []time.Time
	for _, t := range r.frozen[rule] {
		if now.Sub(t) < loopWindow {
			rest = append(rest, t)
		}
	}
	r.frozen[rule] = append(rest, now)
	return len(rest)+1 >= loopCount
}

// record writes the finding down, unless it was just written down and nothing
// was done about it. It returns the id of the record, empty for none.
func (r *responder) record(f detect.Finding, ev event.Event, action string) string {
	c := r.c
	acted := action == audit.Paused || action == audit.Killed
	if _, again := r.dedup.seen(f, ev, time.Now()); again && !acted {
		return ""
	}
	rec := trail.Of(f, ev, action)
	if action == audit.Allowed {
		rec.Level = coi.Info
	}
	rec.ID = audit.NewID(time.Now())
	if acted && rec.ExeSHA == "" && rec.Exe != "" {
		rec.ExeSHA = scene.SHA(c.scene.Root, rec.Exe)
	}
	if acted || c.status.Frozen != nil {
		if rec.Evidence == nil {
			rec.Evidence = map[string]any{}
		}
		rec.Evidence["folder"] = evidence.Folder(c.name, rec.ID)
	}
	if acted && r.circles(f.Rule, time.Now()) {
		rec.Description += ". It froze this container three times in ten minutes: coi watch allow " + rec.ID + " lets it pass."
	}
	c.view.threat(rec)
	c.d.Trail.Put(c.name, rec)
	return rec.ID
}

// note records something about the watch itself.
func (r *responder) note(rule string, level coi.Level, action, title, why string) {
	rec := audit.Record{
		TS: time.Now().UTC(), Type: audit.TypeAudit, Level: level, Category: trail.Category(rule), Title: title, Description: why, Rule: rule,
		Action: action, ID: audit.NewID(time.Now()),
	}
	if level.Rank() >= coi.Warning.Rank() {
		r.c.view.threat(rec)
	}
	r.c.d.Trail.Put(r.c.name, rec)
}
