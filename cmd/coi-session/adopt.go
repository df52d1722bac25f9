package main

import (
	"strconv"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// adopted is a record for a container that has none that is open: it was kept
// by an earlier session, or its files were lost. What an earlier record knew
// stays; the rest comes from the container's config.
func adopted(d *desk, inst incus.Instance, old record.Record) record.Record {
	r := old
	get := func(key string) string { return inst.Config[key] }
	r.SchemaVersion, r.Container, r.Project = run.Schema, inst.Name, d.cfg.Incus.Project
	r.Identity, r.Workspace, r.Tool = get(plan.KeyIdentity), get(plan.KeyWorkspace), get(plan.KeyTool)
	r.Slot, _ = strconv.Atoi(get(plan.KeySlot))
	r.SessionID, r.Alias, r.Profile, r.Image = get(plan.KeySession), get(plan.KeyAlias), get(plan.KeyProfile), get(plan.KeyImage)
	r.Persistent = get(plan.KeyPersistent) == "true"
	r.Veth = coi.VethName(d.home.VethTag(), d.cfg.Incus.Project, inst.Name)
	r.Phase, r.Ended, r.Supervisor = run.Running, nil, nil
	if r.Kind == "" {
		r.Kind = record.Launch
	}
	if r.CreatedAt.IsZero() {
		r.CreatedAt = time.Now().UTC()
	}
	if r.Plan.LogsDir == "" {
		r.Plan = record.Plan{
			User: d.cfg.Incus.CodeUser, UID: d.cfg.Incus.CodeUID, HomeDir: "/home/" + d.cfg.Incus.CodeUser,
			SessionsDir: d.cfg.Paths.SessionsDir + "-" + r.Tool, StorageDir: d.cfg.Paths.StorageDir, LogsDir: d.cfg.Paths.LogsDir,
			StopTimeout: int(d.cfg.Container.ShutdownTimeout.Seconds()),
		}
	}
	r.Plan.Socket, r.Plan.Existed, r.Plan.Ending, r.Plan.Client = d.door.Socket, true, nil, nil
	r.Plan.Tmux = false
	return r
}
