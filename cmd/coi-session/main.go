// Command coi-session is every verb that drives Incus: it starts agents in
// containers of their own, attaches to them, shows them and brings them to an
// orderly end.
package main

import (
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() {
	keepToOurselves()
	os.Exit(cli.Main(os.Args, cli.Std(), commands()...))
}

// keepToOurselves closes what the caller left open, a lock perhaps, to guards and
// supervisors that outlive us (close_range(2), Linux 5.11; before, nothing).
func keepToOurselves() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

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
