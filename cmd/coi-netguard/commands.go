package main

import "github.com/code-on-incus/coi/pkg/cli"

type netguardGrammar struct {
	cli.Globals
	Run runCmd `cmd:"" aliases:"daemon" help:"The service, in the foreground."`
}

func commands() []cli.Command {
	return []cli.Command{{
		Verb:    "netguard",
		Summary: "the firewall: status, explain, allow, deny",
		Grammar: &netguardGrammar{},
		Exits:   []string{},
	}}
}
