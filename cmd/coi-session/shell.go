package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/term"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type shellCmd struct {
	sessionFlags
	Resume      optional `placeholder:"ID" help:"Resume a saved session: the newest, or the one of that id."`
	Continue    optional `placeholder:"ID" help:"Same as --resume."`
	Tmux        bool     `xor:"tmux" help:"Run the tool inside tmux."`
	NoTmux      bool     `name:"no-tmux" xor:"tmux" help:"Run the tool on this terminal directly."`
	Background  bool     `help:"Start detached in tmux and return at once."`
	Debug       bool     `help:"A bash instead of the tool, in the same sandbox."`
	Container   string   `placeholder:"NAME" help:"Use this existing container."`
	StartKilled bool     `help:"Start a persistent container that the monitor killed."`
	JSON        bool     `name:"json" help:"With --background: print JSON."`
	Alias       string   `arg:"" optional:"" help:"Alias of a workspace."`
}

func shellCommand() cli.Command {
	return cli.Command{
		Verb: "shell", Summary: "start or resume an agent in a container of its own", Grammar: &shellCmd{},
		Examples: []string{"coi shell", "coi shell --resume", "coi shell --background --json"},
		Hint:     configKeyHint,
	}
}

// Run starts the session and shows it until it ends or the user detaches.
func (s *shellCmd) Run(c *cli.Context) error {
	if s.JSON && !s.Background {
		return cli.Usage("--json works with --background only")
	}
	_, tty := term.Open(c.Stdin, c.Stdout)
	b := &begin{c: c, flags: &s.sessionFlags, shell: s, kind: record.Shell}
	b.chosen = func() error {
		if !tty && !s.Background {
			return cli.Usage("an interactive session needs a terminal").Hint("coi run -- COMMAND, or coi shell --background")
		}
		return nil
	}
	if s.Container != "" {
		if err := b.useContainer(); err != nil {
			return err
		}
		if b.running != "" {
			return b.attachRunning()
		}
	}
	live, err := b.start()
	if err != nil {
		return err
	}
	if b.running != "" {
		return b.attachRunning()
	}
	argv := b.argv
	if err := b.preLaunch(live); err != nil {
		return b.giveUp(live, err)
	}
	if !b.tmux {
		return b.direct(live, argv)
	}
	err = b.startPane(live, argv)
	if errors.Is(err, errNoTmux) && !s.Background {
		c.Warn("the image has no tmux: the tool runs on this terminal, without detaching")
		return b.direct(live, argv)
	}
	if err != nil {
		return b.giveUp(live, err)
	}
	if err := live.Link.Send(supervise.Order{Op: supervise.OpTool}); err != nil {
		supervise.Revive(b.home)
	}
	b.line.mark("tool started")
	if b.line.on {
		b.line.print(c.Stderr)
	}
	if s.Background {
		return b.detached(live)
	}
	return b.attach(live)
}

// attachRunning shows the resumed session where it still runs.
func (b *begin) attachRunning() error {
	b.c.Note("the session runs in " + b.running)
	if b.shell.Background {
		_, err := fmt.Fprintln(b.c.Stdout, b.running)
		return err
	}
	return (&attachCmd{workspaceFlag: b.flags.workspaceFlag, Container: b.running}).Run(b.c)
}

// giveUp ends a session whose tool could not be started.
func (b *begin) giveUp(live *launch.Live, cause error) error {
	_ = live.Link.Send(supervise.Order{Op: supervise.OpEnd, Reason: "exit", Detail: "the tool could not be started", Status: 1})
	ctx, stop := context.WithTimeout(context.WithoutCancel(b.c), recordPhaseTimeout)
	defer stop()
	_, _ = live.Link.Await(ctx, supervise.OpDone, b.show)
	return cause
}

// direct runs the tool on this terminal, without tmux.
func (b *begin) direct(live *launch.Live, argv []string) error {
	e := b.exec(live, argv)
	code, err := attachPane(b.c, b.c, b.door, live.Spec.Record.Container, e)
	if err != nil {
		code = 129
	}
	_ = live.Link.Send(supervise.Order{Op: supervise.OpEnd, Reason: "exit", Status: code})
	return b.farewell(live)
}

// detached prints what a script needs to find the session again.
func (b *begin) detached(live *launch.Live) error {
	r := live.Spec.Record
	if !b.shell.JSON {
		_, err := fmt.Fprintln(b.c.Stdout, r.Container)
		return err
	}
	return b.c.PrintJSON(struct {
		Schema      int    `json:"schema_version"`
		Container   string `json:"container"`
		Slot        int    `json:"slot"`
		SessionID   string `json:"session_id"`
		Workspace   string `json:"workspace"`
		Tool        string `json:"tool"`
		Persistent  bool   `json:"persistent"`
		NetworkMode string `json:"network_mode"`
	}{1, r.Container, r.Slot, r.SessionID, r.Workspace, r.Tool, r.Persistent, r.Mode})
}

// attach shows the session on this terminal.
func (b *begin) attach(live *launch.Live) error {
	name := live.Spec.Record.Container
	e := b.exec(live, []string{"/bin/sh", "-c", attachScript, "sh", "=" + coi.TmuxSession(name)})
	e.Twice = true
	code, err := attachPane(b.c, b.c, b.door, name, e)
	if err == nil && code == 0 {
		b.c.Note("detached from "+name, "coi attach "+name)
		return nil
	}
	if b.c.Err() != nil {
		b.c.Note("detached from "+name, "coi attach "+name)
		return cli.Exit(coi.ExitInterrupted)
	}
	return b.farewell(live)
}

// farewell waits for the end of the session and tells how it was.
func (b *begin) farewell(live *launch.Live) error {
	name := live.Spec.Record.Container
	_, done := b.c.Step("ending " + name)
	defer done()
	ctx, stop := context.WithTimeout(context.WithoutCancel(b.c), recordPhaseTimeout)
	defer stop()
	var ending supervise.Report
	r, err := live.Link.Await(ctx, supervise.OpDone, func(r supervise.Report) {
		if r.Op == supervise.OpEnding {
			ending = r
		}
		b.show(r)
	})
	done()
	if err != nil {
		b.c.Warn("the end of the session is not confirmed: "+err.Error(), "coi list")
		return nil
	}
	b.tellEnd(name, r)
	if ending.Text != "" {
		e := cli.Fail(coi.ExitFailed, "%s ended at once with exit code %d", b.cfg.Tool.Name, ending.Status)
		e.Lines = strings.Split(ending.Text, "\n")
		return e
	}
	return nil
}

func (b *begin) tellEnd(name string, r supervise.Report) {
	text := endWords(r)
	switch r.Outcome {
	case "deleted":
		text += "; " + name + " deleted"
	case "kept":
		text += "; " + name + " kept: " + r.Text
	}
	b.c.Note(text)
	if r.Saved != "" {
		b.c.Note("conversation saved", "coi shell --resume="+r.Saved)
	}
}

func endWords(r supervise.Report) string {
	switch r.Reason {
	case "exit":
		if r.Detail != "" {
			return "session ended: " + r.Detail
		}
		return fmt.Sprintf("session ended: the tool returned %d", r.Status)
	case "max_duration":
		return "session ended: its time limit was reached (" + r.Detail + ")"
	case "monitor":
		return "session ended by the monitor: " + r.Detail
	}
	return "session ended: " + r.Reason
}
