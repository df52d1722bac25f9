package main

import (
	"bytes"
	"io"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

type schemaCmd struct {
	cli.Globals
	Kind   string `arg:"" optional:"" enum:"config,profile,audit" default:"profile" help:"Which file format: config, profile or audit."`
	Scopes bool   `hidden:"" help:"List the keys by what a project may do with them."`
}

func schemaCommand() cli.Command {
	return cli.Command{
		Verb: "schema", Summary: "print the JSON Schema of a file format", Grammar: &schemaCmd{},
		Detail:   "JSON Schema 2020-12. Nothing is loaded, so it works while the configuration is broken.",
		Examples: []string{"coi schema config > coi.schema.json", "coi schema audit"},
	}
}

// Run prints the schema.
func (s *schemaCmd) Run(c *cli.Context) error {
	if s.Scopes {
		_, err := io.WriteString(c.Stdout, config.Scopes())
		return err
	}
	text, err := schemaOf(s.Kind)
	if err != nil {
		return err
	}
	_, err = c.Stdout.Write(append(text, '\n'))
	return err
}

func schemaOf(kind string) ([]byte, error) {
	if kind == "audit" {
		return bytes.TrimSpace(audit.Schema()), nil
	}
	return config.JSONSchema(kind)
}
