package main

import (
	"path/filepath"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// useContainer makes the session start in an existing container, in the
// workspace that it has. One with a session that runs is attached to.
func (b *begin) useContainer() error {
	s := b.shell
	if s.Alias != "" || s.Slot != 0 {
		return cli.Usage("--container names the container: an alias or a slot beside it makes no sense")
	}
	d, err := openDesk(b.c, s.Workspace)
	if err != nil {
		return err
	}
	inst, err := d.find(s.Container, 0, false)
	if err != nil {
		return err
	}
	at := inst.Config[plan.KeyWorkspace]
	if s.Workspace != "." {
		if dir, err := filepath.EvalSymlinks(s.Workspace); err != nil || dir != at {
			return cli.Usage("%s has the workspace %s", inst.Name, cli.Escape(at)).Hint("leave out -w")
		}
	}
	switch r, err := record.Read(d.home, inst.Name); {
	case d.frozen(inst) != "":
		return cli.Fail(coi.ExitFailed, "%s is frozen", inst.Name).Hint("coi unfreeze %s", inst.Name)
	case inst.Running() && err == nil && r.Kind == record.Shell && r.Phase == run.Running:
		b.running = inst.Name
		return nil
	case inst.Running():
		return cli.Fail(coi.ExitFailed, "%s runs without a session, and a session starts with its container", inst.Name).
			Hint("coi container stop %s", inst.Name).Hint("coi attach --bash %s", inst.Name)
	}
	s.Workspace = at
	if s.Persistent == nil {
		persistent := inst.Config[plan.KeyPersistent] == "true"
		s.Persistent = &persistent
	}
	if s.Image == "" {
		s.Image = inst.Config[plan.KeyImage]
	}
	b.container, b.old = inst.Name, &inst
	return nil
}
