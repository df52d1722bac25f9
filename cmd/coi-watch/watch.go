package main

import "github.com/code-on-incus/coi/pkg/cli"

// watchGrammar is `coi watch`: one field a subcommand, each in a file of its own.
type watchGrammar struct {
	cli.Globals
	Run    runCmd    `cmd:"" aliases:"daemon" help:"Watch, in the foreground; the service."`
	Status statusCmd `cmd:"" help:"What is watched, by which sensors, and what was lost."`
	Events eventsCmd `cmd:"" help:"What happens, live, the last minute first."`
	Allow  allowCmd  `cmd:"" help:"Let a finding pass from now on."`
	Update updateCmd `cmd:"" help:"Read changed rules now."`
	Replay replayCmd `cmd:"" help:"Judge a recording or command lines; nothing is stopped."`
	Rules  rulesCmd  `cmd:"" help:"List and test detectors and rules."`
}

func watchCommand() cli.Command {
	return cli.Command{
		Verb:    "watch",
		Summary: "the monitor: status, events, rules, replay",
		Detail: "Sees every program that starts in a container and every touch of a sensitive file, from the host, as it happens. " +
			"A finding of level high freezes the container, one of level critical ends it.",
		Examples: []string{"coi watch replay --score lines.jsonl", "coi watch rules list"},
		Exits:    []string{"1  replay --score: a bar was missed; rules test: a sample failed"},
		Grammar:  &watchGrammar{},
	}
}
