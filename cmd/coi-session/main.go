// Command coi-session is every verb that drives Incus: it starts agents in
// containers of their own, attaches to them, shows them and brings them to an
// orderly end.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), commands()...)) }

// commands is the list of verbs; each has a file of its own.
func commands() []cli.Command {
	return []cli.Command{
		shellCommand(), runCommand(), attachCommand(), listCommand(), infoCommand(),
		shutdownCommand("shutdown"), shutdownCommand("close"), killCommand(), freezeCommand(), unfreezeCommand(), persistCommand(),
		topCommand(), tmuxCommand(), snapshotCommand(), fileCommand(), containerCommand(), cleanCommand(),
		buildCommand(), imageCommand(), toolCommand(),
		superviseCommand(), factsCommand(),
	}
}
