// Package client is what the verbs share: it reads the files of ~/.coi/run and
// tells the daemon things through them. It needs no right.
package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/pick"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lease"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// Files are the files of one container.
type Files struct {
	Home   home.Home
	Name   string
	Spec   run.Net
	Local  guard.Local
	Status run.NetStatus
	View   guard.View
}

// Open reads the files of the container that name means. Without a spec there
// is no such container (exit 4).
func Open(x *cli.Context, name string) (*Files, error) {
	h, err := x.Home()
	if err != nil {
		return nil, err
	}
	f := &Files{Home: h}
	if f.Name, err = (pick.Flags{}).Find(x, name); err != nil {
		return nil, err
	}
	if err := run.Read(f.path(run.NetFile), &f.Spec); err != nil {
		if home.Missing(err) {
			return nil, cli.Fail(coi.ExitNoContainer, "%s: the guard knows no such container", f.Name).Hint("coi list")
		}
		return nil, err
	}
	for suffix, v := range map[string]any{run.NetLocalFile: &f.Local, run.NetStatusFile: &f.Status, run.NetViewFile: &f.View} {
		if err := run.Read(f.path(suffix), v); err != nil && !home.Missing(err) {
			return nil, err
		}
	}
	return f, nil
}

func (f *Files) path(suffix string) string { return f.Home.Run(f.Name + suffix) }

// All lists the containers that have a spec.
func All(h home.Home) ([]string, error) {
	names, err := run.Names(h.Run(), run.NetFile)
	slices.Sort(names)
	return names, err
}

// Leased are the containers that hold an address, sorted.
func Leased(h home.Home) ([]string, error) {
	var pool lease.Pool
	err := run.Read(h.Run(run.NetguardPoolFile), &pool)
	if home.Missing(err) {
		return nil, nil
	}
	return slices.Sorted(maps.Keys(pool.Leases)), err
}

// Daemon reads the state of the daemon; alive tells whether it runs.
func Daemon(h home.Home) (s guard.State, alive bool) {
	if run.Read(h.Run(run.NetguardFile), &s) != nil {
		return s, false
	}
	return s, s.Alive(time.Now())
}

// Policy is the container's policy as the guard sees it.
func (f *Files) Policy() (*policy.Policy, error) {
	p, err := policy.FromSpec(&f.Spec)
	if err != nil {
		return nil, err
	}
	p.V4, p.V6, p.N = addr(f.Status.IPv4), addr(f.Status.IPv6), f.View.Number
	var hold run.Hold
	if err := run.Read(f.path(run.NetHoldFile), &hold); err == nil {
		p.Hold = hold.Hold
	}
	now := time.Now()
	for _, e := range f.Local.Allow {
		if entry, err := guard.LiveEntry(e, p, f.View.Facts); err == nil && (e.Until == nil || now.Before(*e.Until)) {
			p.Allow = append(p.Allow, entry)
		}
	}
	for _, e := range f.Local.Deny {
		if entry, err := policy.ParseEntry(run.Dest{Dest: e.Dest, Ports: e.Ports, Origin: "coi netguard deny"}, true); err == nil && (e.Until == nil || now.Before(*e.Until)) {
			p.Deny = append(p.Deny, entry)
		}
	}
	for _, e := range f.Local.Hosts {
		if host, err := policy.ParseHost(e.HostEntry); err == nil && (e.Until == nil || now.Before(*e.Until)) {
			p.Hosts = append(p.Hosts, host)
		}
	}
	return p, nil
}

// answerTime is how long the daemon may take to answer.
const answerTime = 5 * time.Second

// Change edits the local file and waits until the guard has it in force. took is
// the time between. Nothing is written when no daemon runs, or when change
// returns an error.
func (f *Files) Change(ctx context.Context, change func(*guard.Local) error) (took time.Duration, err error) {
	if _, alive := Daemon(f.Home); !alive {
		return 0, cli.Fail(coi.ExitFailed, "the guard is not running, so nothing was changed").Hint("coi health")
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	lock, err := home.WaitLock(ctx, filepath.Join(f.Home.Run(), ".netguard.local.lock"))
	if err != nil {
		return 0, fmt.Errorf("wait for another change: %w", err)
	}
	defer lock.Unlock()
	var l guard.Local
	if err := run.Read(f.path(run.NetLocalFile), &l); err != nil && !home.Missing(err) {
		return 0, err
	}
	if err := change(&l); err != nil {
		return 0, err
	}
	var st run.NetStatus
	if run.Read(f.path(run.NetStatusFile), &st) == nil {
		l.Generation = max(l.Generation, st.LocalGeneration)
	}
	l.SchemaVersion, l.Generation = run.Schema, l.Generation+1
	if err := run.Write(f.path(run.NetLocalFile), &l); err != nil {
		return 0, err
	}
	err = run.Wait(ctx, f.path(run.NetStatusFile), func([]byte) bool {
		return run.Read(f.path(run.NetStatusFile), &st) == nil && (st.LocalGeneration >= l.Generation || st.State == run.NetFailed)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, cli.Fail(coi.ExitFailed, "the guard did not answer within %s", answerTime).Hint("coi netguard status %s", f.Name)
	case err != nil:
		return 0, err
	case st.State == run.NetFailed:
		return 0, cli.Fail(coi.ExitFailed, "the guard could not apply it: %s", st.Error)
	}
	f.Local, f.Status = l, st
	return time.Since(start), nil
}

// Record writes a change of policy into the audit trail.
func (f *Files) Record(r audit.Record) error {
	a, err := audit.Open(f.Home, f.Name, audit.Options{Source: audit.SourceGuard, SessionID: f.Spec.SessionID})
	if err != nil {
		return err
	}
	r.Type, r.Category, r.Level = audit.TypeAudit, audit.CategoryPolicy, coi.Info
	_, err = a.Append(r)
	return errors.Join(err, a.Close())
}
