// Command coi-update replaces coi's programs and its rule collections, only
// when asked to, and only by what proves to be what it should be.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), updateCommand())) }
