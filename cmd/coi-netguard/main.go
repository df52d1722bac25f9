// Command coi-netguard is the firewall of coi: one daemon a user, and the verbs
// that ask it and tell it things through files.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), commands()...)) }
