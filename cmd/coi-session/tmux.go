package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type tmuxCmd struct {
	Send    tmuxSend    `cmd:"" help:"Type a text into a session."`
	Capture tmuxCapture `cmd:"" help:"Print the screen of a session."`
	List    tmuxList    `cmd:"" help:"List tmux sessions."`
	workspaceFlag
	cli.Globals
}

func tmuxCommand() cli.Command {
	return cli.Command{
		Verb: "tmux", Summary: "type into and read a session's screen", Grammar: &tmuxCmd{},
		Examples: []string{"coi tmux send coi-1a2b3c4d-1 'run the tests'", "coi tmux capture coi-1a2b3c4d-1 --lines 200"},
	}
}

type tmuxSend struct {
	NoEnter   bool   `help:"Do not press Enter."`
	Container string `arg:"" help:"Container or alias."`
	Text      string `arg:"" help:"Text, typed literally."`
}

// Run types the text.
func (t *tmuxSend) Run(c *cli.Context, p *tmuxCmd) error {
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	inst, err := d.find(t.Container, 0, false)
	if err != nil {
		return err
	}
	target := "=" + coi.TmuxSession(inst.Name) + ":"
	if _, err := d.tmux(inst, "send-keys", "-l", "-t", target, "--", t.Text); err != nil {
		return err
	}
	if t.NoEnter {
		return nil
	}
	_, err = d.tmux(inst, "send-keys", "-t", target, "Enter")
	return err
}

type tmuxCapture struct {
	Lines     int    `default:"0" placeholder:"N" help:"Lines of history before the screen."`
	Container string `arg:"" help:"Container or alias."`
}

// Run prints the pane without its control characters.
func (t *tmuxCapture) Run(c *cli.Context, p *tmuxCmd) error {
	if t.Lines < 0 {
		return cli.Usage("--lines %d is negative", t.Lines)
	}
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	inst, err := d.find(t.Container, 0, false)
	if err != nil {
		return err
	}
	args := []string{"capture-pane", "-p", "-t", "=" + coi.TmuxSession(inst.Name) + ":"}
	if t.Lines > 0 {
		args = append(args, "-S", "-"+strconv.Itoa(t.Lines))
	}
	out, err := d.tmux(inst, args...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Stdout, cli.EscapeKeepNewline(strings.TrimRight(out, "\n")))
	return err
}

// tmux runs tmux as the code user of a running container.
func (d *desk) tmux(inst incus.Instance, args ...string) (string, error) {
	if !inst.Running() {
		return "", cli.Fail(coi.ExitFailed, "%s is not running", inst.Name).Hint("coi list")
	}
	if by := d.frozen(inst); by != "" {
		return "", cli.Fail(coi.ExitFailed, "%s is frozen", inst.Name).Hint("coi unfreeze %s", inst.Name)
	}
	user, err := d.codeUser(inst)
	if err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(d.c, incus.QueryTimeout)
	defer stop()
	out, errs, code, err := d.door.Output(ctx, inst.Name, user.exec("dumb", append([]string{"tmux"}, args...)), 8<<20)
	if err != nil {
		return "", silent(inst.Name, err)
	}
	if code != 0 {
		return "", cli.Fail(coi.ExitFailed, "%s has no such tmux session: %s", inst.Name, string(bytes.TrimSpace(errs))).Hint("coi tmux list")
	}
	return string(out), nil
}

type tmuxList struct {
	cli.Format
}

// Run lists the sessions of all running containers.
func (t *tmuxList) Run(c *cli.Context, p *tmuxCmd) error {
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	mine, err := d.mine()
	if err != nil {
		return err
	}
	type row struct {
		Container string `json:"container"`
		Session   string `json:"session"`
	}
	rows := []row{}
	for _, i := range mine {
		if !i.Running() || d.frozen(i) != "" {
			continue
		}
		out, err := d.tmux(i, "list-sessions", "-F", "#{session_name}")
		if err != nil {
			continue // a container without tmux has none to list
		}
		for name := range strings.FieldsSeq(out) {
			rows = append(rows, row{i.Name, name})
		}
	}
	if t.IsJSON() {
		return c.PrintJSON(rows)
	}
	if len(rows) == 0 {
		c.Note("no tmux sessions")
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, []string{r.Container, r.Session})
	}
	return c.Table([]cli.Column{{Name: "CONTAINER"}, {Name: "TMUX SESSION"}}, cells)
}
