// Command coi-trust approves what a project asks for, item by item in words,
// and takes approvals back. It is the only writer of the trust store.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), trustCommand(), untrustCommand())) }
