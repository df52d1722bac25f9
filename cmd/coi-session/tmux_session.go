package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/term"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// paneCommand is what the pane runs: the tool, and afterwards a note of its
// exit status, of how long it ran, and of its last lines if it failed at once.
const paneCommand = `#!/bin/sh
began=$(date +%s)
"$@"
status=$?
took=$(( $(date +%s) - began ))
{ echo "$status $took"; [ "$status" -eq 0 ] || [ "$took" -ge 3 ] || tmux capture-pane -p -S -20 -t "$TMUX_PANE"; } >/run/coi/state/status 2>/dev/null
exit "$status"
`

const panePath = "/run/coi/pane"

// paneFiles are the files of a session in tmux.
func paneFiles(uid int) []bundle.File {
	return []bundle.File{
		{Path: panePath, Mode: 0o755, Content: []byte(paneCommand)},
		{Path: "/run/coi/state", Mode: 0o700, UID: uid, GID: uid, Dir: true},
		{Path: "/etc/tmux.conf", Mode: 0o644, Content: []byte("set -g history-limit 50000\nset -s escape-time 10\nset -g mouse on\nset -s set-clipboard on\nset -g default-terminal tmux-256color\nset -as terminal-overrides ',*256col*:Tc'\n")},
	}
}

// noTmux says that the image has no tmux.
var errNoTmux = fmt.Errorf("the image has no tmux")

// endedBy is why a session that has just been started is at its end already, ""
// while it is not.
func (b *begin) endedBy(container string) string {
	r, err := record.Read(b.home, container)
	switch {
	case err == nil && r.Ended != nil:
		return r.Ended.Reason
	case err == nil && r.Plan.Ending != nil:
		return r.Plan.Ending.Reason
	}
	return ""
}

// startPane starts the tool in a detached tmux session of the code user.
func (b *begin) startPane(live *launch.Live, argv []string) error {
	name := live.Spec.Record.Container
	width, height := 80, 24
	if t, ok := term.Open(b.c.Stdin, b.c.Stdout); ok {
		width, height = t.Size()
	}
	// The tmux server, which this starts, hands its environment to the pane.
	cmd := []string{
		"tmux", "-u", "new-session", "-d", "-s", coi.TmuxSession(name), "-x", strconv.Itoa(width), "-y", strconv.Itoa(height),
		"-c", live.Spec.Record.Plan.Inside, "--", panePath,
	}
	var errs bytes.Buffer
	e := b.exec(live, append(cmd, argv...))
	e.Stderr = &errs
	code, err := live.Exec(context.WithoutCancel(b.c), e)
	if err != nil || code != 0 {
		if why := b.endedBy(name); why != "" {
			return cli.Fail(coi.ExitFailed, "%s was ended while it started (%s)", name, why).Hint("coi list --all")
		}
	}
	switch {
	case err != nil:
		return err
	case code == 127:
		return errNoTmux
	case code != 0:
		return cli.Fail(coi.ExitFailed, "start the tool in tmux: %s", cli.Escape(errs.String()))
	}
	return nil
}

// Exit codes of the attaching script.
const (
	attachEnded   = 97 // the tmux session is gone
	attachMissing = 98 // there was none
)

const attachScript = `tmux has-session -t "$1" 2>/dev/null || exit 98
tmux -u attach-session -t "$1"
tmux has-session -t "$1" 2>/dev/null || exit 97
exit 0`

// attachPane shows the tmux session of a container on this terminal until the
// user detaches (ended is false) or the session is over.
func attachPane(ctx context.Context, c *cli.Context, door *incus.Client, name string, e incus.Exec) (code int, err error) {
	t, ok := term.Open(c.Stdin, c.Stdout)
	if !ok {
		return 0, cli.Usage("a terminal is needed")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	restore, err := t.Raw()
	if err != nil {
		return 0, err
	}
	defer restore()
	e.TTY, e.Stdin, e.Stdout = true, c.Stdin, c.Stdout
	e.Width, e.Height = t.Size()
	e.Control = func(ctl *incus.Control) { t.Follow(ctx.Done(), ctl.Resize) }
	if h, err := c.Home(); err == nil {
		b := &banner{home: h, name: name, out: c.Stdout}
		e.Control = func(ctl *incus.Control) { b.control(ctl); t.Follow(ctx.Done(), ctl.Resize) }
		var told sync.WaitGroup
		told.Go(func() { b.follow(ctx, t) })
		defer told.Wait()
		defer stop()
	}
	return door.Exec(ctx, name, e)
}
