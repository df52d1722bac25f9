package main

import "github.com/code-on-incus/coi/pkg/cli"

// monitorGrammar is `coi monitor`.
type monitorGrammar struct {
	cli.Globals
}

func monitorCommand() cli.Command {
	return cli.Command{
		Verb:    "monitor",
		Summary: "watch one container live",
		Grammar: &monitorGrammar{},
	}
}
