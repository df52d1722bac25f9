// Command coi-logs prints and follows the session logs of a container.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), command())) }

func command() cli.Command {
	return cli.Command{
		Verb:    "logs",
		Summary: "Print or follow the session logs of a container, also of one that is gone.",
		Detail: `Lines of the log of information are printed as they are, lines of the log of
warnings and errors start with [ERR].

security events: coi audit`,
		Examples: []string{
			"coi logs                      the container of this directory",
			"coi logs coi-1a2b3c4d-1 -f    follow, from now on",
			"coi logs --since 2h --grep network",
		},
		Grammar: &logsCmd{},
	}
}
