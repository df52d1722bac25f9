package main

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/pkg/cli"
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
	if cfg.SigmaDir == "" {
		cfg.SigmaDir = h.Path("sigma")
	}
	if cfg.PatternD == "" {
		cfg.PatternD = h.Path("patterns")
	}
	cfg.GTFODir = h.Path("gtfobins")
	return cfg, nil
}
