package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
)

type explainCmd struct {
	cli.Format
	Container string `arg:"" help:"Container or alias."`
	Dest      string `arg:"" placeholder:"DEST[:PORT][/udp]" help:"Name or address; port 443 if none is given."`
}

type explainDoc struct {
	SchemaVersion int             `json:"schema_version"`
	Container     string          `json:"container"`
	State         string          `json:"state"`
	Agrees        bool            `json:"agrees"`
	ReadAt        string          `json:"read_at"`
	Allowed       bool            `json:"allowed"`
	Answers       []client.Answer `json:"answers"`
}

func (c *explainCmd) Run(x *cli.Context) error {
	t, err := client.ParseTarget(c.Dest)
	if err != nil {
		return err
	}
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	answers, err := f.Explain(t)
	if err != nil {
		return err
	}
	doc := explainDoc{SchemaVersion: 1, Container: f.Name, State: f.Status.State, Agrees: f.View.Agrees && f.Status.InForce, ReadAt: when(f.Status.CheckedAt), Answers: answers}
	for _, a := range answers {
		doc.Allowed = doc.Allowed || a.Allowed
	}
	if c.IsJSON() {
		err = x.PrintJSON(doc)
	} else {
		printExplain(x, &doc)
	}
	if err == nil && !doc.Allowed {
		return cli.Exit(coi.ExitFailed)
	}
	return err
}

func printExplain(x *cli.Context, doc *explainDoc) {
	say := func(format string, a ...any) { _, _ = fmt.Fprintln(x.Stdout, cli.Escape(fmt.Sprintf(format, a...))) }
	for i, a := range doc.Answers {
		if i > 0 {
			say("")
		}
		verdict := "blocked"
		if a.Allowed {
			verdict = "allowed"
		}
		to := a.Dest
		if a.Address != "" && a.Address != a.Dest {
			to += " (" + a.Address + ")"
		}
		if a.Proto != "icmp" {
			to += fmt.Sprintf(" port %d", a.Port)
		}
		say("%s: %s %s by rule %s", verdict, to, a.Proto, a.Rule)
		if a.Note != "" {
			say("  %s", a.Note)
		}
		if len(a.Names) > 0 {
			say("  address of %s", strings.Join(a.Names, ", "))
		}
		for _, t := range slices.Compact(slices.Clone(a.Text)) {
			say("  rule: %s", t)
		}
		if !a.Allowed {
			say("  blocked so far by this rule: %d", a.Hits)
		}
		if a.Key != "" {
			say("  setting: %s%s", a.Key, from(a.Origin))
		}
		for _, cmd := range a.Change {
			say("  to change: %s", cmd)
		}
	}
	if doc.Agrees {
		say("the kernel held these rules at %s", doc.ReadAt)
	} else {
		say("not confirmed by the kernel (state %s)", doc.State)
	}
}

func from(origin string) string {
	if origin == "" {
		return ""
	}
	return " from " + origin
}
