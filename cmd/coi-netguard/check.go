package main

import (
	"context"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
)

type checkCmd struct {
	cli.Format
	Drill string `hidden:"" placeholder:"CONTAINER" help:"Damage the rules of a probe container of coi health and print how long the repair took."`
}

type checkDoc struct {
	SchemaVersion int      `json:"schema_version"`
	Running       bool     `json:"running"`
	PID           int      `json:"pid"`
	Version       string   `json:"version"`
	Kernel        string   `json:"kernel"`
	Features      []string `json:"features"`
	Missing       []string `json:"missing"`
	Foreign       []string `json:"foreign"`
	Verified      []string `json:"verified"`
	Problems      []string `json:"problems"`
}

func (c *checkCmd) Run(x *cli.Context) error {
	if c.Drill != "" {
		return drill(x, c.Drill)
	}
	h, err := x.Home()
	if err != nil {
		return err
	}
	d, alive := client.Daemon(h)
	doc := checkDoc{SchemaVersion: 1, Running: alive, PID: d.PID, Version: d.Version, Kernel: d.Kernel, Features: orEmpty(d.Features), Missing: orEmpty(d.Missing), Foreign: orEmpty(d.Foreign), Verified: []string{}, Problems: orEmpty(d.Problems)}
	if !alive {
		doc.Problems = append(doc.Problems, "the guard is not running")
	}
	names, err := client.All(h)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := client.Open(x, name)
		if err != nil {
			doc.Problems = append(doc.Problems, err.Error())
			continue
		}
		// A raised generation alone asks for a check.
		if _, err := f.Change(x, func(*guard.Local) error { return nil }); err != nil {
			doc.Problems = append(doc.Problems, name+": "+err.Error())
			continue
		}
		if f.Status.State != run.NetEnforcing {
			doc.Problems = append(doc.Problems, fmt.Sprintf("%s: %s %s", name, f.Status.State, f.Status.Error))
			continue
		}
		doc.Verified = append(doc.Verified, name)
	}
	if c.IsJSON() {
		err = x.PrintJSON(doc)
	} else {
		c.print(x, &doc)
	}
	if err == nil && len(doc.Problems) > 0 {
		return cli.Exit(coi.ExitFailed)
	}
	return err
}

func (c *checkCmd) print(x *cli.Context, doc *checkDoc) {
	say := func(kind string, list []string) {
		for _, t := range list {
			_, _ = fmt.Fprintf(x.Stdout, "%-9s %s\n", kind, cli.Escape(t))
		}
	}
	say("have", doc.Features)
	say("missing", doc.Missing)
	say("foreign", doc.Foreign)
	say("verified", doc.Verified)
	say("problem", doc.Problems)
}

// drill has the guard damage and repair the rules of a probe container.
func drill(x *cli.Context, name string) error {
	if !run.IsProbe(name) {
		return cli.Usage("%s is no probe container of coi health", cli.Escape(name))
	}
	f, err := client.Open(x, name)
	if err != nil {
		return err
	}
	if _, err := f.Change(x, func(l *guard.Local) error {
		l.Drill = max(l.Drill, f.Status.Drill) + 1
		return nil
	}); err != nil {
		return err
	}
	// The answer to the change comes before the drill that it asks for.
	st := f.Status
	ctx, cancel := context.WithTimeout(x, drillTime)
	defer cancel()
	path := f.Home.Run(f.Name + run.NetStatusFile)
	if err := run.Wait(ctx, path, func([]byte) bool {
		return run.Read(path, &st) == nil && st.Drill >= f.Local.Drill
	}); err != nil || st.DrillUS == 0 {
		return cli.Fail(coi.ExitFailed, "a rule that was removed was not put back")
	}
	return x.PrintJSON(struct {
		SchemaVersion int   `json:"schema_version"`
		RepairedUS    int64 `json:"repaired_us"`
	}{1, st.DrillUS})
}

const drillTime = 5 * time.Second
