package main

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/pkg/cli"
)

type rulesListCmd struct {
	cli.Format
	ruleDirs
	Unsupported bool `help:"Only what could not be loaded, with the reason."`
}

// Run prints the table.
func (r *rulesListCmd) Run(c *cli.Context) error {
	cfg, err := r.config(c)
	if err != nil {
		return err
	}
	list := []engine.RuleInfo{}
	for _, info := range engine.New(cfg).Rules() {
		if !r.Unsupported || !info.Loaded {
			list = append(list, info)
		}
	}
	if r.IsJSON() {
		return c.PrintJSON(map[string]any{"schema_version": 1, "rules": list})
	}
	var rows [][]string
	for _, i := range list {
		state := "loaded"
		if !i.Loaded {
			state = i.Reason
		} else if i.Common != "" {
			state = "loaded at info, for it fires on ordinary work: " + i.Common
		}
		rows = append(rows, []string{i.ID, string(i.Level), i.Source, state, i.Title})
	}
	return c.Table([]cli.Column{{Name: "RULE"}, {Name: "LEVEL"}, {Name: "SOURCE", Flex: true}, {Name: "STATE", Flex: true}, {Name: "TITLE", Flex: true}}, rows)
}
