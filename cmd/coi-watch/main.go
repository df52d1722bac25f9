// Command coi-watch is the monitor: it sees every program that starts in a
// container, judges it, and freezes what is hostile.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), watchCommand(), monitorCommand())) }
