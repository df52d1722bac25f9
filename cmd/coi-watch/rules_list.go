package main

import (
	"strconv"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/run"
)

// ruleRow is a rule and how often it found something in what is watched now.
type ruleRow struct {
	engine.RuleInfo
	Hits int `json:"hits"`
}

// ruleHits adds up what the monitor counted in each container.
func ruleHits(c *cli.Context) (map[string]int, error) {
	h, err := c.Home()
	if err != nil {
		return nil, err
	}
	names, err := run.Names(h.Run(), run.WatchViewFile)
	if err != nil {
		return nil, err
	}
	sum := map[string]int{}
	for _, n := range names {
		var v view.View
		if run.Read(h.Run(n+run.WatchViewFile), &v) != nil {
			continue // it ended just now
		}
		for rule, hits := range v.Hits {
			sum[rule] += hits
		}
	}
	return sum, nil
}

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
	hits, err := ruleHits(c)
	if err != nil {
		return err
	}
	list := []ruleRow{}
	for _, info := range engine.New(cfg).Rules() {
		if !r.Unsupported || !info.Loaded {
			list = append(list, ruleRow{info, hits[info.ID]})
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
		rows = append(rows, []string{i.ID, string(i.Level), i.Source, strconv.Itoa(i.Hits), state, i.Title})
	}
	return c.Table([]cli.Column{{Name: "RULE"}, {Name: "LEVEL"}, {Name: "SOURCE", Flex: true}, {Name: "HITS"}, {Name: "STATE", Flex: true}, {Name: "TITLE", Flex: true}}, rows)
}
