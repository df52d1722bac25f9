package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// Actions of a record.
const (
	actLogged  = "logged"
	actAlerted = "alerted"
	actAllowed = "allowed"
	actPaused  = "paused"
	actKilled  = "killed"
	actFailed  = "failed"
	actDedup   = "deduplicated"
)

// Trail writes audit records. Put never blocks: the response does not wait for
// a disk.
type Trail interface {
	// Put queues a record and returns its id.
	Put(r Record) string
}

// Record is what goes to the audit trail about a finding or about the watch itself.
type Record struct {
	Container, Session string
	Finding            detect.Finding
	Event              event.Event
	Action             string
	Count              int
	ID                 string
	Folder             string // evidence
	Retention, MaxMB   int
}

// responder answers findings. There is one for a container, whatever the
// source of the finding.
type responder struct {
	c       *container
	killed  bool
	pending bool // the freezer has not obeyed yet
	dedup   dedup
	from    uint64 // group that the restored state is about
}

// freezeBudget is how long the goroutine of the container waits for the
// freezer; what needs longer is tried again each second.
const freezeBudget = 100 * time.Millisecond

// found acts on one finding: first the freezer, then the network, then
// everything that may take time or fail.
func (r *responder) found(f detect.Finding, ev event.Event) {
	action := r.decide(f, ev)
	already := r.c.status.Frozen != nil
	if action == actPaused || action == actKilled {
		if already && action == actPaused {
			action = actLogged
		} else if err := r.stop(); err != nil {
			r.c.d.logf("%s: %v", r.c.name, err)
			r.pending = true
		}
	}
	id := r.record(f, ev, action)
	if id == "" {
		return
	}
	if (action == actPaused || action == actKilled) && !already {
		r.c.status.Frozen = &run.Mark{At: time.Now().UTC(), Event: id}
		r.c.status.FrozenTitle, r.c.status.FrozenLevel = f.Title, string(f.Level)
		r.c.report()
		r.save()
	}
	if action == actKilled {
		r.kill(id)
	}
}

// decide is the action that level and switches ask for.
func (r *responder) decide(f detect.Finding, _ event.Event) string {
	s := r.c.cfg.Settings
	switch {
	case f.Level.Rank() < coi.Warning.Rank():
		return actLogged
	case f.Level == coi.Warning, r.c.d.DryRun, r.c.group == nil:
		return actAlerted
	case f.Level == coi.Critical && s.AutoKillOnCritical:
		return actKilled
	case s.AutoPauseOnHigh:
		return actPaused
	}
	return actAlerted
}

// stop freezes the container and closes its network. Both are tried whatever
// becomes of the other.
func (r *responder) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), freezeBudget)
	defer cancel()
	err := r.c.group.Freeze(ctx)
	return errors.Join(err, r.hold(true, "frozen by coi-watch"))
}

// hold asks the guard to drop every packet, or no longer to.
func (r *responder) hold(on bool, why string) error {
	path := r.c.d.Home.Run(r.c.name + run.NetHoldFile)
	var h run.Hold
	_ = run.Read(path, &h) // a missing or broken file starts at zero
	h.SchemaVersion, h.Hold, h.Reason = run.Schema, on, why
	h.Generation++
	if err := run.Write(path, h); err != nil {
		return fmt.Errorf("network hold: %w", err)
	}
	return nil
}

// retry tells a freezer again that did not obey in time.
func (r *responder) retry(ctx context.Context) {
	if !r.pending || r.c.group == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freezeBudget)
	defer cancel()
	if err := r.c.group.Freeze(ctx); err == nil {
		r.pending = false
		r.c.report()
	}
}

func (r *responder) kill(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.c.group.Kill(ctx); err != nil {
		r.c.complain(fmt.Errorf("kill: %w", err))
	}
	r.killed = true
	r.c.status.Killed = &run.Mark{At: time.Now().UTC(), Event: id}
	r.c.report()
	r.save()
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
	r.thawed()
	r.c.status.Thaw = number
}

// thawed forgets that the container was frozen, however it came to go on: the
// next finding freezes it again.
func (r *responder) thawed() {
	r.pending = false
	r.dedup.clear()
	r.c.status.Frozen, r.c.status.FrozenTitle, r.c.status.FrozenLevel = nil, "", ""
	if err := r.hold(false, ""); err != nil {
		r.c.d.logf("%s: %v", r.c.name, err)
	}
	r.c.report()
	r.save()
}

// record writes the finding down, unless it was just written down.
func (r *responder) record(f detect.Finding, ev event.Event, action string) string {
	c := r.c
	rec := Record{
		Container: c.name, Session: c.cfg.SessionID, Finding: f, Event: ev, Action: action,
		Retention: c.cfg.Settings.AuditRetentionDays, MaxMB: c.cfg.Settings.AuditMaxSizeMB,
	}
	acts := action == actPaused || action == actKilled
	if n, again := r.dedup.seen(f, ev, time.Now()); again && !acts {
		rec.Count = n
		return ""
	}
	return c.d.Trail.Put(rec)
}
