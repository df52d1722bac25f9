package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// endMany brings containers to their end one after another and goes on past
// failures.
func (d *desk) endMany(names []string, end func(incus.Instance) error) error {
	var first error
	for _, name := range names {
		inst, err := d.find(name, 0, false)
		if err == nil {
			err = end(inst)
		}
		if err == nil {
			continue
		}
		if exitOf(err) == coi.ExitNoContainer && d.wasOurs(name) {
			d.c.Note(name + " is gone already")
			continue
		}
		if first != nil {
			d.c.Warn(err.Error())
			continue
		}
		first = err
	}
	return first
}

// wasOurs reports whether a container that is gone had a session of ours.
func (d *desk) wasOurs(name string) bool {
	if !coi.ValidContainer(name) {
		return false
	}
	r, err := record.Read(d.home, name)
	return err == nil && r.Ended != nil
}

// bringToEnd asks the supervisor of a container to end its session and waits.
func (d *desk) bringToEnd(inst incus.Instance, ask record.Ask) error {
	rec, err := record.Read(d.home, inst.Name)
	if err != nil || rec.Ended != nil {
		if err := d.adopt(inst); err != nil {
			return err
		}
	}
	_, done := d.c.Step(d.c.Verb + " " + inst.Name)
	defer done()
	if err := record.WriteAsk(d.home, inst.Name, ask); err != nil {
		return err
	}
	// The one that lives sees the question; one that does not is started.
	if err := supervise.Start(inst.Name); err != nil {
		return err
	}
	rec, err = d.ended(inst.Name, time.Duration(ask.Timeout)*time.Second+recordPhaseTimeout)
	done()
	if err != nil {
		return cli.Fail(coi.ExitFailed, "%s: %w", inst.Name, err).Hint("coi list, or coi logs %s", inst.Name)
	}
	return d.tellOutcome(inst, rec)
}

func (d *desk) ended(name string, timeout time.Duration) (record.Record, error) {
	ctx, stop := context.WithTimeout(d.c, timeout)
	defer stop()
	var rec record.Record
	err := run.Wait(ctx, record.Path(d.home, name), func(b []byte) bool {
		if b == nil {
			return true // a start that was being undone takes its record away
		}
		var r record.Record
		if json.Unmarshal(b, &r) != nil || r.Ended == nil {
			return false
		}
		rec = r
		return true
	})
	return rec, err
}

// tellOutcome says what became of a container whose session has ended.
func (d *desk) tellOutcome(before incus.Instance, rec record.Record) error {
	persistent := before.Config[plan.KeyPersistent] == "true"
	inst, err := d.door.Instance(d.c, before.Name)
	switch {
	case errors.Is(err, incus.ErrNotFound) && persistent:
		_, err = fmt.Fprintf(d.c.Stdout, "deleted %s (was persistent)\n", before.Name)
		return err
	case errors.Is(err, incus.ErrNotFound):
		_, err = fmt.Fprintf(d.c.Stdout, "deleted %s\n", before.Name)
		return err
	case err != nil:
		return err
	case inst.Running():
		return cli.Fail(coi.ExitFailed, "%s is still running: %s", inst.Name, rec.Plan.Outcome).Hint("coi logs %s", inst.Name)
	case persistent:
		_, err = fmt.Fprintf(d.c.Stdout, "stopped %s (persistent, kept)\n", inst.Name)
		return err
	}
	_, err = fmt.Fprintf(d.c.Stdout, "stopped %s (kept: %s)\n", inst.Name, cli.Escape(rec.Plan.Outcome))
	return err
}

// adopt gives a container without a living record one made from its own config.
func (d *desk) adopt(inst incus.Instance) error {
	old, _ := record.Read(d.home, inst.Name)
	rec := adopted(d, inst, old)
	return rec.Write(d.home)
}
