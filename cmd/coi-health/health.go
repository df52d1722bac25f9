package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/probe"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/coi"
)

type health struct {
	cli.Globals
	cli.Format
	cli.Consent
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
	Profile   string `placeholder:"NAME" help:"Profile for this command."`
	Verbose   bool   `short:"v" help:"Add details and every effective security setting with its origin."`

	Probe  bool `help:"Also start two throw-away containers and try what the policy forbids."`
	Fix    bool `help:"Apply safe remedies, asking for each."`
	DryRun bool `name:"dry-run" help:"With --fix: only show what would be done."`

	programs string // directory of coi's programs; empty: beside this one
	ordinary bool   // take no step as root although we are
}

func healthCommand() cli.Command {
	return cli.Command{
		Verb: "health", Summary: "Check the machine, the guards and the configuration, and say how to mend what is wrong.",
		Examples: []string{"coi health", "coi health --verbose", "coi health --probe", "coi health --fix --dry-run", "coi health --json | jq .status"},
		Exits:    []string{"0 healthy", "1 degraded", "2 unhealthy"},
		Grammar:  &health{},
	}
}

// report is the JSON form.
type report struct {
	SchemaVersion int                     `json:"schema_version"`
	Version       string                  `json:"version"`
	Status        string                  `json:"status"`
	CheckedAt     time.Time               `json:"checked_at"`
	DurationMS    int64                   `json:"duration_ms"`
	Checks        map[string]checkWithGrp `json:"checks"`
	Fixes         []string                `json:"fixes"`
}

type checkWithGrp struct {
	Group string `json:"group"`
	check.Result
}

// The whole command ends within this.
const deadline = 2800 * time.Millisecond

// Run gathers the facts, judges them, prints, and with --fix mends.
func (h *health) Run(c *cli.Context) error {
	if err := h.validate(); err != nil {
		return err
	}
	start := time.Now()
	// A current directory that is gone or closed is no reason to say nothing.
	ws, err := filepath.Abs(h.Workspace)
	if err != nil {
		ws = ""
	}
	f, results, checks := h.judge(c, ws)
	// The probes have a minute: an Incus that is only busy may have another try.
	for range 3 {
		if !h.Probe || f.IncusErr == nil && f.Incus.Reachable || c.Err() != nil {
			break
		}
		f, results, checks = h.judge(c, ws)
	}
	if h.Fix {
		return h.mend(c, ws, checks, results)
	}
	if h.Probe {
		checks = append(checks, probe.Checks()...)
		if err := h.tryOut(c, f, results); err != nil {
			return err
		}
	}
	rep := summarise(checks, results, start)
	if h.IsJSON() {
		if err := c.PrintJSON(rep); err != nil {
			return err
		}
	} else {
		printText(c, rep, checks, h.Verbose, f)
	}
	return exitFor(rep.Status)
}

func (h *health) validate() error {
	switch {
	case h.DryRun && !h.Fix:
		return cli.Usage("--dry-run needs --fix")
	case h.Fix && h.IsJSON():
		return cli.Usage("--fix shows and asks; it has no JSON form")
	case h.Fix && h.Probe:
		return cli.Usage("--fix and --probe exclude each other").Hint("coi health --fix, then coi health --probe")
	}
	return nil
}

func (h *health) judge(c *cli.Context, ws string) (*facts.Facts, map[string]check.Result, []check.Check) {
	ctx, cancel := context.WithTimeout(c, deadline)
	defer cancel()
	gatherCtx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	dir := h.programs
	if dir == "" {
		dir = ownDir()
	}
	f := facts.Gather(gatherCtx, facts.Options{Getenv: c.Getenv, Workspace: ws, Profile: h.Profile, Exec: dir})
	checks := check.All()
	return f, check.RunAll(ctx, f, checks), checks
}

// ownDir is where coi's programs are: beside this one.
func ownDir() string {
	self, err := os.Executable()
	if err != nil {
		return "."
	}
	if p, err := filepath.EvalSymlinks(self); err == nil {
		self = p
	}
	return filepath.Dir(self)
}

func summarise(checks []check.Check, results map[string]check.Result, start time.Time) report {
	rep := report{SchemaVersion: 1, Version: version.Number, Status: "healthy", CheckedAt: start.UTC(), Checks: map[string]checkWithGrp{}, Fixes: []string{}}
	for _, ch := range checks {
		r := results[ch.Name]
		rep.Checks[ch.Name] = checkWithGrp{ch.Group, r}
		switch {
		case r.Status == check.Failed:
			rep.Status = "unhealthy"
		case r.Status == check.Warning && rep.Status == "healthy":
			rep.Status = "degraded"
		}
	}
	rep.DurationMS = time.Since(start).Milliseconds()
	return rep
}

func exitFor(status string) error {
	switch status {
	case "unhealthy":
		return cli.Exit(coi.ExitUsage)
	case "degraded":
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}

var (
	marks   = map[check.Status]string{check.OK: "ok", check.Warning: "warn", check.Failed: "FAIL", check.Skipped: "skip"}
	colours = map[check.Status]string{check.OK: "32", check.Warning: "33", check.Failed: "31", check.Skipped: "90"}
)

func printText(c *cli.Context, rep report, checks []check.Check, verbose bool, f *facts.Facts) {
	colour := c.Colour(c.Stdout)
	for _, group := range append(slices.Clone(check.Groups), probe.Group) {
		first := true
		for _, ch := range checks {
			if ch.Group != group {
				continue
			}
			if first {
				first = false
				_, _ = fmt.Fprintf(c.Stdout, "\n%s\n", group)
			}
			printCheck(c, ch, rep.Checks[ch.Name].Result, verbose, colour)
		}
	}
	if verbose {
		printSettings(c, f)
	}
	_, _ = fmt.Fprintf(c.Stdout, "\n%s (%d ms)\n", rep.Status, rep.DurationMS)
}

func printCheck(c *cli.Context, ch check.Check, r check.Result, verbose, colour bool) {
	mark := fmt.Sprintf("%-4s", marks[r.Status])
	if colour {
		mark = "\x1b[" + colours[r.Status] + "m" + mark + "\x1b[0m"
	}
	_, _ = fmt.Fprintf(c.Stdout, "  %s  %-24s %s\n", mark, ch.Name, cli.Escape(r.Message))
	if r.Hint != "" && (r.Status == check.Warning || r.Status == check.Failed) {
		_, _ = fmt.Fprintf(c.Stdout, "        hint: %s\n", cli.Escape(r.Hint))
	}
	if verbose {
		for _, key := range sortedKeys(r.Details) {
			_, _ = fmt.Fprintf(c.Stdout, "        %s=%s\n", key, cli.Escape(fmt.Sprint(r.Details[key])))
		}
	}
}

// printSettings lists the settings that decide about safety, with their origin.
func printSettings(c *cli.Context, f *facts.Facts) {
	if f.Config == nil {
		return
	}
	for _, section := range []struct{ title, table string }{{"Monitoring", "monitoring."}, {"Security", "security."}, {"Network", "network."}} {
		_, _ = fmt.Fprintf(c.Stdout, "\n%s\n", section.title)
		for _, s := range check.Settings(f.Config, f.Home, section.table) {
			_, _ = fmt.Fprintf(c.Stdout, "  %s=%s (%s)\n", s.Name, cli.Escape(s.Value), cli.Escape(s.Origin))
		}
	}
}
