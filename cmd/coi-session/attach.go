package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/proxy"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type attachCmd struct {
	workspaceFlag
	cli.Globals
	Profile   string `placeholder:"NAME" help:"Profile for this command."`
	Bash      bool   `help:"A bash in the workspace instead of the tmux session."`
	Slot      int    `default:"0" placeholder:"N" help:"Slot of this workspace."`
	Container string `arg:"" optional:"" help:"Container or alias."`
}

func attachCommand() cli.Command {
	return cli.Command{
		Verb: "attach", Summary: "connect to a running session", Grammar: &attachCmd{},
		Examples: []string{"coi attach", "coi attach --bash coi-1a2b3c4d-1"},
	}
}

// Run shows a running session on this terminal.
func (a *attachCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, a.Workspace)
	if err != nil {
		return err
	}
	inst, err := a.choose(d)
	if err != nil || inst.Name == "" {
		return err
	}
	switch {
	case inst.Status == "Frozen" || d.frozen(inst) != "":
		return cli.Fail(coi.ExitFailed, "%s is frozen", inst.Name).Hint("coi unfreeze %s", inst.Name)
	case !inst.Running():
		return cli.Fail(coi.ExitFailed, "%s is not running", inst.Name).Hint("coi shell --resume")
	}
	d.renewAgent(inst)
	user, err := d.codeUser(inst)
	if err != nil {
		return err
	}
	e := user.exec(c.Getenv("TERM"), []string{"/bin/sh", "-c", attachScript, "sh", "=" + coi.TmuxSession(inst.Name)})
	if a.Bash {
		e = user.exec(c.Getenv("TERM"), []string{"/bin/sh", "-c", "[ ! -r " + envPath + " ] || . " + envPath + "; exec bash -l"})
	}
	e.Twice = true
	code, err := attachPane(c, c, d.door, inst.Name, e)
	switch {
	case err != nil && c.Err() != nil:
		return nil
	case err != nil:
		return silent(inst.Name, err)
	case a.Bash:
		if code == 0 || code == 130 || code == 137 || code == 143 {
			return nil
		}
		return cli.Exit(code)
	case code == attachMissing:
		return cli.Fail(coi.ExitFailed, "%s has no tmux session", inst.Name).Hint("coi attach --bash %s", inst.Name)
	case code == attachEnded:
		c.Note("the session of " + inst.Name + " has ended")
	case code == 0:
		c.Note("detached from "+inst.Name, "coi attach "+inst.Name)
	}
	return nil
}

// renewAgent points the lent ssh agent at that of this login: the one before may
// be gone with its own.
func (d *desk) renewAgent(inst incus.Instance) {
	socket := d.c.Getenv("SSH_AUTH_SOCK")
	if _, lent := inst.Devices["ssh-agent"]; !lent || socket == "" || !pick.Mine(inst, d.home) {
		return
	}
	if err := proxy.PointAgent(d.home.Run(inst.Name+".agent"), socket); err != nil {
		d.c.Warn("the ssh agent of this login is not forwarded: " + err.Error())
	}
}

// choose finds the container: the one named, the one running here, or the only
// one running at all.
func (a *attachCmd) choose(d *desk) (incus.Instance, error) {
	if a.Container != "" || a.Slot != 0 {
		return d.find(a.Container, a.Slot, false)
	}
	mine, err := d.mine()
	if err != nil {
		return incus.Instance{}, err
	}
	var here, running []incus.Instance
	for _, i := range mine {
		if !i.Running() {
			continue
		}
		running = append(running, i)
		if i.Config[plan.KeyIdentity] == d.identity() {
			here = append(here, i)
		}
	}
	if len(here) > 0 {
		running = here
	}
	switch len(running) {
	case 0:
		d.c.Note("no running sessions")
		return incus.Instance{}, nil
	case 1:
		return running[0], nil
	}
	err = pick.Several("attach", "several sessions are running", running)
	var e *cli.Error
	if errors.As(err, &e) {
		for i := range e.Lines {
			e.Lines[i] = fmt.Sprintf("%d. %s", i+1, e.Lines[i])
		}
	}
	return incus.Instance{}, err
}

// insider is the code user of a running container, as the container knows it.
type insider struct {
	name, home, cwd string
	uid             int
}

// silent says what to do with a container in which Incus starts nothing.
func silent(container string, err error) error {
	if !errors.Is(err, incus.ErrSilent) {
		return err
	}
	return cli.Fail(coi.ExitFailed, "%w (it happens when Incus is started again while a container works; what runs inside goes on)", err).
		Hint("coi shutdown %s saves the conversation, coi shell --resume goes on with it", container)
}

// codeUser asks a container who its code user is.
func (d *desk) codeUser(inst incus.Instance) (insider, error) {
	u := insider{name: "root", home: "/root", cwd: "/"}
	rec, err := record.Read(d.home, inst.Name)
	want := d.cfg.Incus.CodeUser
	if err == nil && rec.Plan.User != "" {
		want = rec.Plan.User
	}
	if dev, ok := inst.Devices["workspace"]; ok && dev["path"] != "" {
		u.cwd = dev["path"]
	}
	if want == "root" {
		return u, nil
	}
	ctx, stop := context.WithTimeout(d.c, incus.QueryTimeout)
	defer stop()
	out, _, code, err := d.door.Output(ctx, inst.Name, incus.Exec{Argv: []string{"getent", "passwd", want}}, 4096)
	if err != nil {
		return u, silent(inst.Name, fmt.Errorf("ask %s for its user: %w", inst.Name, err))
	}
	if p, ok := launch.ParseUser(strings.TrimSpace(string(out))); code == 0 && ok {
		u.name, u.home, u.uid = p.Name, p.Home, p.UID
	}
	return u, nil
}

// exec is a command of that user in the workspace.
func (u insider) exec(terminal string, argv []string) incus.Exec {
	e := incus.Exec{Argv: argv, Cwd: u.cwd, Env: plan.BaseEnv(u.name, u.home, terminal)}
	if u.uid != 0 {
		e.Argv = append([]string{"setpriv", "--reuid", u.name, "--regid", u.name, "--init-groups", "--"}, argv...)
	}
	return e
}
