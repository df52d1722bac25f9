package main

import (
	"github.com/code-on-incus/coi/pkg/cli"
)

type netguardGrammar struct {
	cli.Globals
	Run     runCmd     `cmd:"" aliases:"daemon" help:"The service, in the foreground."`
	Status  statusCmd  `cmd:"" help:"The daemon and what is in force for each container."`
	Explain explainCmd `cmd:"" help:"Say whether a destination is allowed, which rule decides, and what would change it."`
	Rules   rulesCmd   `cmd:"" help:"Print the rules in nft syntax, as last read from the kernel."`
	Allow   allowCmd   `cmd:"" help:"Open a destination for a running container."`
	Deny    denyCmd    `cmd:"" help:"Close a destination; beats every allow and ends open flows."`
	Hosts   hostsCmd   `cmd:"" help:"Fixed names and their holes."`
	Tail    tailCmd    `cmd:"" help:"Show refused attempts as they happen."`
	Learn   learnCmd   `cmd:"" help:"Print the smallest [network] section that covers what a container used."`
	Check   checkCmd   `cmd:"" help:"Verify the rules and what the guard depends on, now."`
	Clean   cleanCmd   `cmd:"" help:"Remove what containers that are gone left behind."`
}

type hostsGrammar struct {
	cli.Globals
	hostsCmd
}

func commands() []cli.Command {
	return []cli.Command{{
		Verb:    "netguard",
		Summary: "the firewall: status, explain, allow, deny",
		Detail: "An allowed destination can carry anything out: bytes are counted, TLS is not read. Where one address serves many sites, an allowed name opens the address for all of them, unless network.sni = \"enforce\" judges the name that each TLS connection on port 443 asks for.\n\n" +
			"In restricted mode any public host may be a relay. For code you do not trust use allowlist.",
		Examples: []string{
			"coi netguard status",
			"coi netguard explain coi-1a2b3c4d-1 api.example.com:443",
			"coi netguard allow coi-1a2b3c4d-1 registry.example.com:443 --for 10m",
			"coi netguard learn coi-1a2b3c4d-1",
		},
		Grammar: &netguardGrammar{},
	}, {
		Verb:     "hosts",
		Summary:  "fixed names and their holes in the firewall",
		Examples: []string{"coi hosts add coi-1a2b3c4d-1 10.1.2.3 db.lan --ports 5432", "coi hosts list coi-1a2b3c4d-1"},
		Grammar:  &hostsGrammar{},
	}}
}
