package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/reflink"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type snapshotCmd struct {
	Create  snapshotCreate  `cmd:"" help:"Make a snapshot of the container's disk."`
	List    snapshotList    `cmd:"" help:"List snapshots."`
	Restore snapshotRestore `cmd:"" help:"Put the container's disk back to a snapshot."`
	Delete  snapshotDelete  `cmd:"" help:"Delete snapshots."`
	Info    snapshotInfo    `cmd:"" help:"Show one snapshot."`
	// Not --workspace: that is the wish to have the workspace in the snapshot.
	Directory string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
	Container string `short:"c" placeholder:"NAME" help:"Container or alias."`
	Slot      int    `default:"0" placeholder:"N" help:"Slot of this workspace."`
	Profile   string `placeholder:"NAME" help:"Profile for this command."`
	cli.Globals
}

func snapshotCommand() cli.Command {
	return cli.Command{
		Verb: "snapshot", Summary: "make, restore and delete snapshots", Grammar: &snapshotCmd{},
		Examples: []string{"coi snapshot create before-upgrade", "coi snapshot restore -f before-upgrade"},
		Detail:   "A container with a snapshot is kept at the end of its session. Workspace files are part of a snapshot only with --workspace.",
	}
}

var snapshotName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// open finds the container of a snapshot verb.
func (f *snapshotCmd) open(c *cli.Context, name string) (*desk, incus.Instance, error) {
	if name != "" && !snapshotName.MatchString(name) {
		return nil, incus.Instance{}, cli.Usage("%q is no snapshot name (letters, digits, . _ -, at most 63)", cli.Escape(name))
	}
	d, err := openDesk(c, f.Directory)
	if err != nil {
		return nil, incus.Instance{}, err
	}
	inst, err := d.find(f.Container, f.Slot, true)
	return d, inst, err
}

type snapshotCreate struct {
	Stateful      bool   `help:"Memory too; needs CRIU on the host."`
	WithWorkspace bool   `name:"workspace" help:"The workspace too, where the file system can share blocks."`
	Name          string `arg:"" optional:"" help:"Name; snap-YYYYMMDD-HHMMSS by default."`
}

// Run makes a snapshot.
func (s *snapshotCreate) Run(c *cli.Context, p *snapshotCmd) error {
	if s.Name == "" {
		s.Name = time.Now().Format("snap-20060102-150405")
	}
	d, inst, err := p.open(c, s.Name)
	if err != nil {
		return err
	}
	if err := d.door.CreateSnapshot(c, inst.Name, s.Name, s.Stateful); err != nil {
		switch {
		case errors.Is(err, incus.ErrExists):
			return cli.Fail(coi.ExitFailed, "snapshot %s of %s exists", s.Name, inst.Name).Hint("choose another name, or coi snapshot delete %s", s.Name)
		case s.Stateful:
			return cli.Fail(coi.ExitFailed, "snapshot %s: %w", s.Name, err).Hint("--stateful needs CRIU on the host; without it the disk alone is kept")
		}
		return fmt.Errorf("snapshot %s: %w", s.Name, err)
	}
	// The name was free: a copy of that name is of a container that is gone.
	if err := reflink.Remove(d.workspaceCopy(inst.Name, s.Name)); err != nil {
		return err
	}
	if s.WithWorkspace {
		if err := reflink.Save(inst.Config[plan.KeyWorkspace], d.workspaceCopy(inst.Name, s.Name)); err != nil {
			_ = d.door.DeleteSnapshot(c, inst.Name, s.Name)
			return cli.Fail(coi.ExitFailed, "copy of the workspace: %w", err).Hint("leave --workspace out: the container's disk alone is kept")
		}
	} else {
		c.Note("workspace files are not part of the snapshot")
	}
	_, err = fmt.Fprintf(c.Stdout, "created %s of %s\n", s.Name, inst.Name)
	return err
}

// workspaceCopy is where the workspace's part of a snapshot is kept.
func (d *desk) workspaceCopy(container, snapshot string) string {
	return d.home.Path("storage", "snapshots", container, snapshot)
}

type snapshotList struct {
	cli.Format
	All bool `short:"a" help:"Of all containers."`
}

type snapshotView struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created_at"`
	Stateful bool      `json:"stateful"`
}

func views(list []incus.Snapshot) []snapshotView {
	out := []snapshotView{}
	for _, s := range list {
		out = append(out, snapshotView{s.Name, s.Created, s.Stateful})
	}
	return out
}

// Run lists.
func (s *snapshotList) Run(c *cli.Context, p *snapshotCmd) error {
	if s.All {
		return s.all(c, p)
	}
	d, inst, err := p.open(c, "")
	if err != nil {
		return err
	}
	list, err := d.door.Snapshots(c, inst.Name)
	if err != nil {
		return err
	}
	if s.IsJSON() {
		return c.PrintJSON(map[string]any{"schema_version": 1, "container": inst.Name, "snapshots": views(list)})
	}
	return printSnapshots(c, list)
}

func printSnapshots(c *cli.Context, list []incus.Snapshot) error {
	if len(list) == 0 {
		c.Note("no snapshots")
		return nil
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{s.Name, s.Created.Local().Format(time.DateTime), fmt.Sprint(s.Stateful)})
	}
	if err := c.Table([]cli.Column{{Name: "NAME"}, {Name: "CREATED"}, {Name: "STATEFUL"}}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Stdout, "total: %d\n", len(list))
	return err
}

func (s *snapshotList) all(c *cli.Context, p *snapshotCmd) error {
	d, err := openDesk(c, p.Directory)
	if err != nil {
		return err
	}
	mine, err := d.mine()
	if err != nil {
		return err
	}
	out, any := map[string][]snapshotView{}, false
	for _, i := range mine {
		list, err := d.door.Snapshots(c, i.Name)
		if err != nil {
			return err
		}
		out[i.Name] = views(list)
		if s.IsJSON() || len(list) == 0 {
			continue
		}
		any = true
		_, _ = fmt.Fprintln(c.Stdout, i.Name)
		if err := printSnapshots(c, list); err != nil {
			return err
		}
	}
	if s.IsJSON() {
		return c.PrintJSON(out)
	}
	if !any {
		c.Note("no snapshots")
	}
	return nil
}

type snapshotRestore struct {
	cli.Consent
	Stateful      bool   `help:"Memory too."`
	WithWorkspace bool   `name:"workspace" help:"The workspace too, where the file system can share blocks."`
	Name          string `arg:"" help:"Snapshot."`
}

// Run restores; a running container is saved and stopped first.
func (s *snapshotRestore) Run(c *cli.Context, p *snapshotCmd) error {
	d, inst, err := p.open(c, s.Name)
	if err != nil {
		return err
	}
	snap, err := d.snapshot(inst.Name, s.Name)
	if err != nil {
		return err
	}
	if s.Stateful && !snap.Stateful {
		return cli.Fail(coi.ExitFailed, "snapshot %s of %s holds no memory", s.Name, inst.Name).Hint("leave --stateful out")
	}
	if s.WithWorkspace && !reflink.Exists(d.workspaceCopy(inst.Name, s.Name)) {
		return cli.Fail(coi.ExitFailed, "snapshot %s of %s has no copy of the workspace", s.Name, inst.Name).Hint("leave --workspace out")
	}
	if inst.Running() {
		if err := c.Ask(s.Consent, "%s is running: save and stop it, then restore %s?", inst.Name, s.Name); err != nil {
			return err
		}
		if err := d.bringToEnd(inst, record.Ask{Do: record.AskShutdown}); err != nil {
			return err
		}
	} else if err := c.Ask(s.Consent, "restore %s of %s? What changed since is lost", s.Name, inst.Name); err != nil {
		return err
	}
	if err := d.door.RestoreSnapshot(c, inst.Name, s.Name, s.Stateful); err != nil {
		return fmt.Errorf("restore %s: %w", s.Name, err)
	}
	if s.WithWorkspace {
		kept, err := reflink.Restore(d.workspaceCopy(inst.Name, s.Name), inst.Config[plan.KeyWorkspace], d.home.Path("storage", "quarantine", "restore-"+time.Now().Format("20060102-150405")))
		if err != nil {
			return fmt.Errorf("restore the workspace: %w", err)
		}
		c.Note("what the workspace held is in " + kept)
	}
	_, err = fmt.Fprintf(c.Stdout, "restored %s of %s\n", s.Name, inst.Name)
	return err
}

func (d *desk) snapshot(container, name string) (incus.Snapshot, error) {
	list, err := d.door.Snapshots(d.c, container)
	if err != nil {
		return incus.Snapshot{}, err
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return incus.Snapshot{}, cli.Fail(coi.ExitFailed, "%s has no snapshot %s", container, name).Hint("there are: %s", cli.Escape(strings.Join(names, " ")))
}

type snapshotDelete struct {
	cli.Consent
	All  bool   `short:"a" help:"All snapshots of the container."`
	Name string `arg:"" optional:"" help:"Snapshot."`
}

// Run deletes one snapshot or all.
func (s *snapshotDelete) Run(c *cli.Context, p *snapshotCmd) error {
	if (s.Name == "") != s.All {
		return cli.Usage("name one snapshot, or --all")
	}
	d, inst, err := p.open(c, s.Name)
	if err != nil {
		return err
	}
	names := []string{s.Name}
	if s.All {
		list, err := d.door.Snapshots(c, inst.Name)
		if err != nil {
			return err
		}
		names = nil
		for _, v := range list {
			names = append(names, v.Name)
		}
		if len(names) == 0 {
			c.Note("no snapshots")
			return nil
		}
	} else if _, err := d.snapshot(inst.Name, s.Name); err != nil {
		return err
	}
	if err := c.Ask(s.Consent, "delete snapshot %s of %s?", strings.Join(names, " "), inst.Name); err != nil {
		return err
	}
	for _, n := range names {
		if err := d.door.DeleteSnapshot(c, inst.Name, n); err != nil {
			return fmt.Errorf("delete %s: %w", n, err)
		}
		if err := reflink.Remove(d.workspaceCopy(inst.Name, n)); err != nil {
			c.Warn("the copy of the workspace stays: " + err.Error())
		}
		_, _ = fmt.Fprintf(c.Stdout, "deleted %s of %s\n", n, inst.Name)
	}
	return nil
}

type snapshotInfo struct {
	cli.Format
	Name string `arg:"" help:"Snapshot."`
}

// Run shows one snapshot.
func (s *snapshotInfo) Run(c *cli.Context, p *snapshotCmd) error {
	d, inst, err := p.open(c, s.Name)
	if err != nil {
		return err
	}
	v, err := d.snapshot(inst.Name, s.Name)
	if err != nil {
		return err
	}
	with := reflink.Exists(d.workspaceCopy(inst.Name, s.Name))
	if s.IsJSON() {
		return c.PrintJSON(map[string]any{"schema_version": 1, "container": inst.Name, "name": v.Name, "created_at": v.Created, "stateful": v.Stateful, "workspace": with})
	}
	return printRows(c, [][2]string{
		{"name", v.Name},
		{"container", inst.Name},
		{"created", v.Created.Local().Format(time.DateTime)},
		{"stateful", fmt.Sprint(v.Stateful)},
		{"workspace", fmt.Sprint(with)},
	})
}
