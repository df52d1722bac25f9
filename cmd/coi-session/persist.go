package main

import (
	"fmt"
	"maps"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/pkg/cli"
)

type persistCmd struct {
	workspaceFlag
	cli.Globals
	cli.Consent
	All        bool     `short:"a" help:"All containers of yours."`
	Containers []string `arg:"" optional:"" name:"container" help:"Containers or aliases."`
}

func persistCommand() cli.Command {
	return cli.Command{Verb: "persist", Summary: "keep a container after its session", Grammar: &persistCmd{}, Examples: []string{"coi persist", "coi persist --all"}}
}

// Run marks containers as persistent; the supervisor reads the mark at the end.
func (p *persistCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	names, err := d.targets(p.Containers, p.All, false)
	if err != nil || len(names) == 0 {
		return err
	}
	if p.All || len(names) > 1 {
		if err := c.Ask(p.Consent, "persist %s?", list(names)); err != nil {
			return err
		}
	}
	return d.endMany(names, d.persist)
}

func (d *desk) persist(i incus.Instance) error {
	if i.Config[plan.KeyPersistent] == "true" {
		d.c.Note(i.Name + " is persistent already")
		return nil
	}
	config := maps.Clone(i.Config)
	config[plan.KeyPersistent] = "true"
	if err := d.door.Update(d.c, i, config, i.Devices); err != nil {
		return fmt.Errorf("persist %s: %w", i.Name, err)
	}
	_, err := fmt.Fprintf(d.c.Stdout, "persistent: %s\n", i.Name)
	return err
}
