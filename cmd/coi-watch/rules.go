package main

import "github.com/code-on-incus/coi/pkg/cli"

// rulesCmd lists and tests the rules.
type rulesCmd struct {
	List rulesListCmd `cmd:"" help:"Every detector and rule: level, source, loaded or why not."`
}

type rulesListCmd struct {
	cli.Format
	Unsupported bool `help:"Only what could not be loaded, with the reason."`
}

// Run prints the table.
func (r *rulesListCmd) Run(_ *cli.Context) error { return nil }
