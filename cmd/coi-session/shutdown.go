package main

import (
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type shutdownCmd struct {
	workspaceFlag
	cli.Globals
	cli.Consent
	All        bool     `short:"a" help:"All containers of yours."`
	Timeout    int      `placeholder:"SEC" help:"Seconds before force; 0 takes container.shutdown_timeout."`
	Containers []string `arg:"" optional:"" name:"container" help:"Containers or aliases."`
}

// shutdownCommand is shutdown or close: the same verb under two names.
func shutdownCommand(verb string) cli.Command {
	return cli.Command{
		Verb: verb, Summary: "save and stop sessions gracefully", Grammar: &shutdownCmd{},
		Examples: []string{"coi " + verb, "coi " + verb + " --all"},
	}
}

// Run saves and stops; ephemeral containers are deleted.
func (s *shutdownCmd) Run(c *cli.Context) error {
	if s.Timeout < 0 || s.Timeout > 3600 {
		return cli.Usage("timeout %d is outside 0-3600", s.Timeout)
	}
	d, err := openDesk(c, s.Workspace)
	if err != nil {
		return err
	}
	names, err := d.targets(s.Containers, s.All, true)
	if err != nil || len(names) == 0 {
		return err
	}
	if s.All || len(names) > 1 {
		if err := c.Ask(s.Consent, "%s %s?", c.Verb, list(names)); err != nil {
			return err
		}
	}
	return d.endMany(names, func(i incus.Instance) error {
		if !i.Running() {
			c.Note(i.Name + " is stopped already")
			return nil
		}
		return d.bringToEnd(i, record.Ask{Do: record.AskShutdown, Timeout: s.Timeout})
	})
}

// targets are the names typed, all containers, or the one of the workspace.
func (d *desk) targets(typed []string, all, runningOnly bool) ([]string, error) {
	if all && len(typed) > 0 {
		return nil, cli.Usage("--all and names exclude each other")
	}
	if len(typed) > 0 {
		return typed, nil
	}
	if !all {
		i, err := d.find("", 0, false)
		if err != nil {
			return nil, err
		}
		return []string{i.Name}, nil
	}
	mine, err := d.mine()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range mine {
		if i.Running() || !runningOnly {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		d.c.Note("no containers")
	}
	return names, nil
}

func list(names []string) string {
	if len(names) == 1 {
		return cli.Escape(names[0])
	}
	var text strings.Builder
	text.WriteString(fmt.Sprintf("%d containers:", len(names)))
	for _, n := range names {
		text.WriteString(" " + cli.Escape(n))
	}
	return text.String()
}

type killCmd struct {
	workspaceFlag
	cli.Globals
	cli.Consent
	All        bool     `short:"a" help:"All containers of yours."`
	Containers []string `arg:"" optional:"" name:"container" help:"Containers or aliases."`
}

func killCommand() cli.Command {
	return cli.Command{
		Verb: "kill", Summary: "stop and delete sessions at once", Grammar: &killCmd{},
		Examples: []string{"coi kill", "coi kill --all --force"},
	}
}

// Run kills and deletes, persistent containers too.
func (k *killCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, k.Workspace)
	if err != nil {
		return err
	}
	names, err := d.targets(k.Containers, k.All, false)
	if err != nil || len(names) == 0 {
		return err
	}
	if !k.Given() {
		ask, why, err := d.worthAsking(names)
		if err != nil {
			return err
		}
		if ask || k.All {
			if err := c.Ask(k.Consent, "kill and delete %s%s?", list(names), why); err != nil {
				return err
			}
		}
	}
	return d.endMany(names, func(i incus.Instance) error { return d.bringToEnd(i, record.Ask{Do: record.AskKill}) })
}

// worthAsking reports whether killing these loses something that was meant to stay.
func (d *desk) worthAsking(names []string) (ask bool, why string, err error) {
	ask = len(names) > 1
	for _, n := range names {
		i, err := d.find(n, 0, false)
		if exitOf(err) == coi.ExitNoContainer {
			continue
		}
		if err != nil {
			return false, "", err
		}
		if i.Config["user.coi.persistent"] == "true" {
			ask, why = true, why+" ("+i.Name+" is persistent)"
		}
		snaps, err := d.door.Snapshots(d.c, i.Name)
		if err != nil {
			return false, "", err
		}
		for _, s := range snaps {
			ask, why = true, why+" (with snapshot "+cli.Escape(s.Name)+" of "+i.Name+")"
		}
	}
	return ask, why, nil
}
