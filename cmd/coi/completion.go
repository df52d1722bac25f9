package main

import (
	_ "embed"
	"strconv"
)

//go:embed completion/coi.bash
var bashCompletion string

//go:embed completion/coi.zsh
var zshCompletion string

//go:embed completion/coi.fish
var fishCompletion string

func (w world) completion(args []string) int {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(args) == 1 {
		if args[0] == "--help" || args[0] == "-h" {
			return w.help([]string{"completion"})
		}
		if script, ok := scripts[args[0]]; ok {
			_, _ = w.stdout.Write([]byte(script))
			return exitOK
		}
		return w.fail(exitUsage, "no completion for "+strconv.QuoteToASCII(args[0]), "use bash, zsh or fish")
	}
	return w.fail(exitUsage, "completion takes the name of one shell", "use bash, zsh or fish")
}
