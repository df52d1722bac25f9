package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
)

type runCmd struct {
	sessionFlags
	Prompt     *string  `placeholder:"TEXT" help:"Run the tool once with this prompt."`
	PromptFile string   `placeholder:"FILE" help:"Run the tool once with the prompt in this file."`
	PromptName string   `placeholder:"NAME" help:"Run the tool once with a prompt of the configuration."`
	TTY        bool     `short:"t" name:"tty" help:"Allocate a terminal."`
	Command    []string `arg:"" optional:"" passthrough:"partial" help:"Command and its arguments."`
}

func runCommand() cli.Command {
	return cli.Command{
		Verb: "run", Summary: "run one command or prompt in the same sandbox", Grammar: &runCmd{},
		Examples: []string{"coi run -- make test", "git diff | coi run -- sh -c 'cat | wc -l'"},
		Hint:     configKeyHint,
		Exits:    []string{"N  the exit code of the command, 128+N when signal N ended it"},
	}
}

// Run starts a sandbox, runs the command in it and returns its exit code.
func (r *runCmd) Run(c *cli.Context) error {
	b := &begin{c: c, flags: &r.sessionFlags, kind: record.Run}
	var argv []string
	b.chosen = func() (err error) {
		argv, b.prompt, err = r.headless(b.cfg, b.ws.Path)
		return err
	}
	live, err := b.start()
	if err != nil {
		return err
	}
	if b.prompt != nil {
		argv = b.argv
	}
	code := b.execute(live, argv, r.TTY)
	b.line.mark("command ended")
	err = b.conclude(live, code)
	if b.line.on {
		b.line.mark("session safe")
		b.line.print(c.Stderr)
	}
	return err
}

// execute runs the command of a live session with the streams of this process.
func (b *begin) execute(live *launch.Live, argv []string, tty bool) int {
	ctx, stop := context.WithCancel(context.WithoutCancel(b.c))
	defer stop()
	e := b.exec(live, argv)
	e.TTY = tty
	e.Stdin, e.Stdout, e.Stderr = b.c.Stdin, b.c.Stdout, b.c.Stderr
	e.Control = func(ctl *incus.Control) { forward(ctx, stop, ctl) }
	if h, err := b.c.Home(); err == nil {
		go tellFrozen(ctx, b.c, h, live.Spec.Record.Container)
	}
	code, err := live.Exec(ctx, e)
	if err == nil {
		return code
	}
	if ctx.Err() == nil {
		b.c.Warn("the connection to the command broke: " + err.Error())
	}
	return 128 + int(unix.SIGKILL)
}

// forward passes signals to the command; one that does not end within ten
// seconds of the first is given up, and its container is stopped.
func forward(ctx context.Context, giveUp func(), ctl *incus.Control) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-late:
			giveUp()
			return
		case s := <-signals:
			if n, ok := s.(syscall.Signal); ok {
				_ = ctl.Signal(int(n))
				if late == nil && (n == unix.SIGINT || n == unix.SIGTERM) {
					late = time.After(10 * time.Second)
				}
			}
		}
	}
}

// exec is a command of the code user in the workspace with the session's
// variables. setpriv gives it the user's groups, which Incus would not.
func (b *begin) exec(live *launch.Live, argv []string) incus.Exec {
	p := live.Spec.Record.Plan
	e := incus.Exec{First: launch.AwaitBoot, Argv: append([]string{enterPath}, argv...), Cwd: p.Inside, Env: plan.BaseEnv(live.Code.Name, live.Code.Home, b.c.Getenv("TERM"))}
	if live.Code.UID != 0 {
		e.Argv = append([]string{"setpriv", "--reuid", live.Code.Name, "--regid", live.Code.Name, "--init-groups", "--"}, e.Argv...)
	}
	return e
}

// conclude hands the end of the command to the supervisor and returns when the
// container is dead and all is saved; the supervisor deletes it afterwards.
func (b *begin) conclude(live *launch.Live, code int) error {
	err := live.Link.Send(supervise.Order{Op: supervise.OpEnd, Reason: "exit", Status: code})
	if err == nil {
		ctx, stop := context.WithTimeout(context.WithoutCancel(b.c), recordPhaseTimeout)
		defer stop()
		_, err = live.Link.Await(ctx, supervise.OpSafe, b.show)
	}
	if errors.Is(err, supervise.ErrGone) {
		supervise.Revive(b.home)
		err = waitEnded(context.WithoutCancel(b.c), b.home, live.Spec.Record.Container)
	}
	if err != nil {
		b.c.Warn("the end of the session is not confirmed: "+err.Error(), "coi list")
	}
	if code != 0 {
		return cli.Exit(code)
	}
	return nil
}

// show prints what the supervisor wants the user to know.
func (b *begin) show(r supervise.Report) {
	switch r.Op {
	case supervise.OpWarning:
		b.c.Warn(r.Text, r.Hints...)
	case supervise.OpNote:
		b.c.Note(r.Text, r.Hints...)
	}
}
