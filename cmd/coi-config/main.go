// Command coi-config shows, checks and scaffolds configuration: config,
// profile, validate and schema. It changes only files under profiles/ and the
// starter file it is asked for.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), commands()...)) }

func commands() []cli.Command {
	return []cli.Command{configCommand(), profileCommand(), schemaCommand(), validateCommand()}
}
