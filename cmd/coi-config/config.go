package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

type configCmd struct {
	Show     showCmd     `cmd:"" help:"Every setting that holds here, and where it comes from."`
	Validate validateCmd `cmd:"" help:"Check configuration files."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of a file format."`
}

func configCommand() cli.Command {
	return cli.Command{
		Verb: "config", Summary: "show where every setting comes from", Grammar: &configCmd{},
		Detail:   "Layers, lowest first: built-in values, ~/.coi/config.toml, the project's .coi/config.toml, the file of COI_CONFIG, one profile, typed flags. A project's file may only make the sandbox stricter; what needs your word waits for coi trust.",
		Examples: []string{"coi config show --origin", "coi config show network", "coi config show --profile hardened --json"},
		Exits:    []string{"5  a file cannot be read or is invalid"},
	}
}

// where are the options that say whose configuration is meant.
type where struct {
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
}

// options are what config.Load needs for this command.
func (w where) options(c *cli.Context) (config.Options, error) {
	h, err := c.Home()
	if err != nil {
		return config.Options{}, err
	}
	return config.Options{Home: h, Getenv: c.Getenv, Environ: os.Environ(), Workspace: w.Workspace}, nil
}
