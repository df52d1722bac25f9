package main

import (
	"fmt"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/pkg/cli/version"
)

const exitCodes = `exit codes: 0 done, 1 failed, 2 wrong use, 3 Incus unreachable, 4 no such container,
  5 bad configuration, 130 interrupted`

// builtin is the help of the verbs that the dispatcher does itself.
var builtin = map[string]string{
	"help": `usage: coi help [-a] [VERB [SUBCOMMAND]]

Show all verbs, or the help of one. -a adds the verbs found on PATH.

examples:
  coi help
  coi help snapshot create
`,
	"version": `usage: coi version [--json]

Show the version and where the project lives.

examples:
  coi version
  coi version --json | jq -r .commit
`,
	"completion": `usage: coi completion bash|zsh|fish

Print a completion script for a shell.

examples:
  source <(coi completion bash)
  coi completion fish > ~/.config/fish/completions/coi.fish
`,
}

func (w world) help(args []string) int {
	if len(args) > 0 && (args[0] == "-a" || args[0] == "--all") {
		w.overview()
		return w.helpExternal()
	}
	if len(args) == 0 {
		w.overview()
		return exitOK
	}
	if args[0] == "--help" || args[0] == "-h" {
		args[0] = "help"
	}
	if text, ok := builtin[args[0]]; ok {
		w.say(text + "\n" + exitCodes)
		return exitOK
	}
	if strings.HasPrefix(args[0], "-") {
		return w.fail(exitUsage, "unknown flag "+strconv.QuoteToASCII(args[0]), "coi help -a")
	}
	return w.start(args[0], append(append([]string{}, args[1:]...), "--help"))
}

func (w world) overview() {
	var b strings.Builder
	b.WriteString("usage: coi [OPTIONS] [VERB] [ARGUMENTS]\n\n")
	b.WriteString("coi gives an AI coding agent a machine of its own and keeps it there.\nWithout a verb it starts a session in this directory, like coi shell.\n")
	for _, g := range verbs.Groups {
		fmt.Fprintf(&b, "\n%s\n", g)
		for _, v := range verbs.All {
			if v.Group == g {
				fmt.Fprintf(&b, "  %-12s %s\n", v.Name, v.Summary)
			}
		}
	}
	b.WriteString("\noptions before or after a verb: -w DIR, --profile NAME, --slot N, --resume[=ID], --continue[=ID],\n")
	b.WriteString("  --persistent, --tool NAME, --image ALIAS, --network MODE, --tmux, --no-tmux, -q, --no-color\n\n")
	b.WriteString(exitCodes + "\n\nhelp of one verb: coi help VERB")
	w.say(b.String())
}

func (w world) helpExternal() int {
	found := w.external()
	list := make([]string, 0, len(found))
	for verb := range found {
		list = append(list, verb)
	}
	sort.Strings(list)
	w.say("\nFound on PATH")
	for _, verb := range list {
		w.say(fmt.Sprintf("  %-12s %s", verb, strconv.QuoteToASCII(found[verb])))
	}
	return exitOK
}

func (w world) version(args []string) int {
	switch {
	case len(args) == 0:
		w.say("coi v"+version.Number, version.URL)
	case len(args) == 1 && args[0] == "--json":
		// None of the four values needs more escaping than Go's own quotes give;
		// encoding/json would cost every start of every verb.
		w.say(fmt.Sprintf(`{"version":%q,"url":%q,"commit":%q,"go":%q}`, version.Number, version.URL, version.Revision(), runtime.Version()))
	case args[0] == "--help" || args[0] == "-h":
		return w.help([]string{"version"})
	default:
		return w.fail(exitUsage, "version does not take "+strconv.QuoteToASCII(args[0]), "coi help version")
	}
	return exitOK
}
