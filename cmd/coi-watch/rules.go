package main

import (
	"cmp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// rulesCmd lists and tests the rules.
type rulesCmd struct {
	List rulesListCmd `cmd:"" default:"withargs" help:"Every detector and rule: level, source, loaded or why not."`
	Test rulesTestCmd `cmd:"" help:"Run the samples of detectors and rule files; exit 1 on failure."`
}

// ruleDirs are options that replace the usual folders of rule files.
type ruleDirs struct {
	Sigma    string `placeholder:"DIR" help:"Folder of Sigma rules (default: sigma below the coi folder)."`
	Patterns string `placeholder:"DIR" help:"Folder of patterns (default: patterns below the coi folder)."`
}

// config is the engine's configuration with the folders of rule files.
func (d ruleDirs) config(c *cli.Context) (engine.Config, error) {
	cfg := engine.Config{Workspace: "/workspace", Home: "/home/code", User: "code", SigmaDir: d.Sigma, PatternD: d.Patterns}
	h, err := c.Home()
	if err != nil {
		return cfg, err
	}
	d.inForce(h, &cfg)
	if cfg.SigmaDir == "" {
		cfg.SigmaDir = h.Path("sigma")
	}
	if cfg.PatternD == "" {
		cfg.PatternD = h.Path("patterns")
	}
	if cfg.GTFODir == "" {
		cfg.GTFODir = h.Path("gtfobins")
	}
	return cfg, nil
}

// inForce fills in the folders that the user's configuration names, as the
// sessions that are watched have them: the monitor reads no configuration.
func (d ruleDirs) inForce(h home.Home, cfg *engine.Config) {
	names, err := run.Names(h.Run(), run.WatchFile)
	if err != nil {
		return // the usual folders
	}
	for _, n := range names {
		var w run.Watch
		if run.Read(h.Run(n+run.WatchFile), &w) != nil {
			continue
		}
		cfg.GTFODir = cmp.Or(cfg.GTFODir, w.Settings.GTFOBinsDir)
		cfg.SigmaDir, cfg.PatternD = cmp.Or(cfg.SigmaDir, w.Settings.SigmaDir), cmp.Or(cfg.PatternD, w.Settings.PatternsDir)
	}
}
