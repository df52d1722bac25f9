// Command coi-audit prints, follows, filters, verifies, summarises and exports
// the audit trail.
package main

import (
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.Std(), command())) }

func command() cli.Command {
	return cli.Command{
		Verb:    "audit",
		Summary: "Print, follow, filter and verify the audit trail of a container, also of one that is gone.",
		Detail: `The output is the stored lines, byte for byte, one JSON object a line.

coi audit verify [CONTAINER]    check the hash chain over all parts, same as --verify
coi audit summary [CONTAINER]   counts, timeline, pauses and kills, same as --summary

An expression of --where compares fields (paths of gjson) with == != < <= > >=
~ !~ (RE2); && binds tighter than ||. A field alone means present and not
false, !field the opposite.

session logs: coi logs`,
		Examples: []string{
			"coi audit --level high --table",
			"coi audit coi-1a2b3c4d-1 -f",
			"coi audit --since 2h --rule 'block.*' | jq -r .peer",
			`coi audit --where 'exe ~ "curl|wget" && port != 443'`,
			"coi audit verify --anchors",
		},
		Exits:   []string{"1 also: the chain is broken (verify, summary)"},
		Grammar: &auditCmd{},
	}
}
