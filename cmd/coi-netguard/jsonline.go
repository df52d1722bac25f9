package main

import (
	"encoding/json"

	"github.com/code-on-incus/coi/pkg/cli"
)

// printLine writes v as one line of JSON.
func printLine(x *cli.Context, v any) error {
	e := json.NewEncoder(x.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
