package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/why"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

type whyVerb struct {
	cli.Globals
	cli.Format
	Container string `arg:"" optional:"" help:"Container or alias; the one of this workspace when left out."`
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
	Lines     int    `short:"n" default:"1" placeholder:"N" help:"How many reasons, newest first."`
}

func whyCommand() cli.Command {
	return cli.Command{
		Verb: "why", Summary: "Say why the last thing failed or stopped, and what to change.",
		Examples: []string{"coi why", "coi why -n 5", "coi why coi-1a2b3c4d-1 --json"},
		Grammar:  &whyVerb{},
	}
}

// Run reads the files of one container and prints the reasons.
func (w *whyVerb) Run(c *cli.Context) error {
	if w.Lines < 1 {
		return cli.Usage("-n %d: at least 1", w.Lines)
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	ws, err := filepath.Abs(w.Workspace)
	if err != nil {
		return err
	}
	name, err := container(c, h, w.Container, ws)
	if err != nil {
		return err
	}
	reasons := why.Reasons(collect(c, h, name))
	reasons = reasons[:min(len(reasons), w.Lines)]
	if w.IsJSON() {
		if reasons == nil {
			reasons = []why.Reason{}
		}
		return c.PrintJSON(map[string]any{"schema_version": 1, "container": name, "reasons": reasons})
	}
	if len(reasons) == 0 {
		_, _ = fmt.Fprintf(c.Stdout, "%s: nothing stopped or failed\n", cli.Escape(name))
	}
	for _, r := range reasons {
		_, _ = fmt.Fprintf(c.Stdout, "%s  %s: %s\n", r.At.Local().Format("2006-01-02 15:04:05"), r.Kind, cli.Escape(r.Detail))
		if r.Setting != "" {
			_, _ = fmt.Fprintf(c.Stdout, "  setting: %s\n", r.Setting)
		}
		if r.Command != "" {
			_, _ = fmt.Fprintf(c.Stdout, "  command: %s\n", cli.Escape(r.Command))
		}
	}
	return nil
}

// collect reads what can be read; what is missing is simply not a reason.
func collect(c *cli.Context, h home.Home, name string) why.Input {
	in := why.Input{Container: name, Now: time.Now()}
	in.Session = facts.Optional[run.Session](h.Run(name + run.SessionFile))
	in.Net = facts.Optional[run.NetStatus](h.Run(name + run.NetStatusFile))
	in.Watch = facts.Optional[run.WatchStatus](h.Run(name + run.WatchStatusFile))
	in.Netguard = facts.Optional[run.Daemon](h.Run(run.NetguardFile))
	in.Watcher = facts.Optional[run.Daemon](h.Run(run.WatchDaemonFile))
	ctx, cancel := context.WithTimeout(c, 5*time.Second)
	defer cancel()
	if out, err := facts.Tool(ctx, ownDir(), "coi-audit", name, "-n", "500", "--level", "info"); err == nil {
		for line := range bytes.Lines(out) {
			var e why.Event
			if json.Unmarshal(line, &e) == nil {
				in.Events = append(in.Events, e)
			}
		}
	}
	if out, err := facts.Tool(ctx, ownDir(), "coi-logs", name, "-n", "500"); err == nil {
		for line := range bytes.Lines(out) {
			in.Log = append(in.Log, string(bytes.TrimRight(line, "\n")))
		}
	}
	// Who froze it is known to Incus and the cgroup; without an answer nothing is said.
	if out, err := facts.Tool(ctx, ownDir(), "coi-session", "info", name, "--json"); err == nil {
		var info struct {
			FrozenBy string `json:"frozen_by"`
		}
		if json.Unmarshal(out, &info) == nil {
			in.FrozenBy = info.FrozenBy
		}
	}
	return in
}

// newest is the newest session record of a workspace.
func newest(h home.Home, workspace string) (string, error) {
	names, err := run.Names(h.Run(), run.SessionFile)
	if err != nil {
		return "", err
	}
	var best run.Session
	for _, n := range names {
		var s run.Session
		if run.Read(h.Run(n+run.SessionFile), &s) == nil && s.Workspace == workspace && s.CreatedAt.After(best.CreatedAt) {
			best = s
		}
	}
	if best.Container == "" {
		return "", cli.Fail(coi.ExitNoContainer, "no session of %s is known", workspace).Hint("coi list --all")
	}
	return best.Container, nil
}

// container is the one that was named, COI_CONTAINER, or the newest of the workspace.
func container(c *cli.Context, h home.Home, named, workspace string) (string, error) {
	if named == "" {
		named = c.Getenv("COI_CONTAINER")
	}
	if named == "" {
		return newest(h, workspace)
	}
	if !coi.ValidContainer(named) {
		return "", cli.Usage("%q is no container name", named)
	}
	return named, nil
}
