// Command coi-health checks the machine, the guards and the configuration, and
// says why the last thing failed or stopped.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Std(), healthCommand(), whyCommand(), probeAgentCommand()))
}
