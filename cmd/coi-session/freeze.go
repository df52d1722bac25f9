package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/thaw"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

type freezeCmd struct {
	workspaceFlag
	cli.Globals
	Slot      int    `default:"0" placeholder:"N" help:"Slot of this workspace."`
	Container string `arg:"" optional:"" help:"Container or alias."`
}

func freezeCommand() cli.Command {
	return cli.Command{Verb: "freeze", Summary: "pause every process of a container", Grammar: &freezeCmd{}, Examples: []string{"coi freeze", "coi freeze coi-1a2b3c4d-1"}}
}

// Run pauses a container and holds its network.
func (f *freezeCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, f.Workspace)
	if err != nil {
		return err
	}
	inst, err := d.find(f.Container, f.Slot, true)
	if err != nil {
		return err
	}
	if !inst.Running() {
		return cli.Fail(coi.ExitFailed, "%s is not running", inst.Name).Hint("coi list")
	}
	if by := d.frozen(inst); by != "" {
		if by == "user" {
			by = "you"
		}
		c.Note(inst.Name + " is frozen already (" + by + ")")
		return nil
	}
	if err := d.door.Freeze(c, inst.Name); err != nil {
		return fmt.Errorf("freeze %s: %w", inst.Name, err)
	}
	// The monitor holds the network of what it sees frozen; without it we do.
	if !guard.Alive(d.home, guard.Watcher) {
		if err := guard.Hold(c, d.home, inst.Name, true, "user"); err != nil {
			c.Warn("its network is not held: " + err.Error())
		}
	}
	_, err = fmt.Fprintf(c.Stdout, "froze %s\n", inst.Name)
	return err
}

type unfreezeCmd struct {
	workspaceFlag
	cli.Globals
	Slot      int    `default:"0" placeholder:"N" help:"Slot of this workspace."`
	Container string `arg:"" optional:"" help:"Container or alias; none: all frozen ones."`
}

func unfreezeCommand() cli.Command {
	return cli.Command{Verb: "unfreeze", Summary: "let a frozen container go on", Grammar: &unfreezeCmd{}, Examples: []string{"coi unfreeze", "coi unfreeze coi-1a2b3c4d-1"}}
}

// Run thaws one container, or all frozen ones of the user.
func (u *unfreezeCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, u.Workspace)
	if err != nil {
		return err
	}
	if u.Container != "" || u.Slot != 0 || c.Getenv("COI_CONTAINER") != "" {
		inst, err := d.find(u.Container, u.Slot, true)
		if err != nil {
			return err
		}
		if d.frozen(inst) == "" {
			return cli.Fail(coi.ExitFailed, "%s is not frozen", inst.Name)
		}
		return d.unfreeze(inst)
	}
	mine, err := d.mine()
	if err != nil {
		return err
	}
	n := 0
	var first error
	for _, inst := range mine {
		if d.frozen(inst) == "" {
			continue
		}
		n++
		if err := d.unfreeze(inst); err != nil && first == nil {
			first = err
		}
	}
	if n == 0 {
		c.Note("no frozen containers")
	}
	return first
}

func (d *desk) unfreeze(inst incus.Instance) error {
	text := "unfroze " + inst.Name
	var st run.WatchStatus
	if run.Read(d.home.Run(inst.Name+run.WatchStatusFile), &st) == nil && st.Frozen != nil {
		text += fmt.Sprintf(" (was frozen %s: %s %s, audit %s)", st.Frozen.At.Local().Format(time.DateTime), st.FrozenLevel, st.FrozenTitle, st.Frozen.Event)
	}
	ctx, stop := context.WithTimeout(d.c, 30*time.Second)
	defer stop()
	err := thaw.Once(ctx, d.home, d.door, inst)
	var again *thaw.Again
	if errors.As(err, &again) {
		// It went on, to the next thing that somebody has to look at. That
		// freeze holds the network; letting go here would let go of that.
		d.c.Note(cli.Escape(again.Error()), "coi why "+inst.Name)
		_, err := fmt.Fprintln(d.c.Stdout, cli.Escape(text))
		return err
	}
	if err != nil {
		return fmt.Errorf("unfreeze %s: %w", inst.Name, err)
	}
	if err := guard.Hold(ctx, d.home, inst.Name, false, ""); err != nil {
		return fmt.Errorf("%s runs, but its network is still held: %w", inst.Name, err)
	}
	_, err = fmt.Fprintln(d.c.Stdout, cli.Escape(text))
	return err
}
