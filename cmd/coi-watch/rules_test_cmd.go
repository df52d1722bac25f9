package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type rulesTestCmd struct {
	ruleDirs
	What string `arg:"" optional:"" name:"rule" help:"Rule id, or a file of rules; all when absent."`
}

// Run tests detectors by their own samples, patterns by theirs, and Sigma rules
// against the quiet samples of the detectors: a new rule should not disturb
// ordinary work.
func (r *rulesTestCmd) Run(c *cli.Context) error {
	cfg, err := r.config(c)
	if err != nil {
		return err
	}
	id := r.What
	if strings.ContainsAny(id, "/") || strings.HasSuffix(id, ".yml") || strings.HasSuffix(id, ".yaml") || strings.HasSuffix(id, ".toml") {
		cfg.SigmaDir, cfg.PatternD, cfg.GTFODir = "", "", ""
		dir := filepath.Dir(id)
		if strings.HasSuffix(id, ".toml") {
			cfg.PatternD = dir
		} else {
			cfg.SigmaDir = dir
		}
		cfg.Only, id = filepath.Base(id), ""
	}
	res := engine.TestRules(cfg, id)
	for _, f := range res.Failed {
		if _, err := fmt.Fprintln(c.Stdout, cli.Escape(f)); err != nil {
			return err
		}
	}
	if res.Tested == 0 && len(res.Failed) == 0 {
		return cli.Usage("no rule %q", r.What).Hint("coi watch rules list")
	}
	if _, err := fmt.Fprintf(c.Stdout, "%d rules tested, %d samples failed\n", res.Tested, len(res.Failed)); err != nil {
		return err
	}
	if len(res.Failed) > 0 {
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}
