package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

type trustCmd struct {
	cli.Globals
	cli.Consent
	cli.Format
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
	List      bool   `xor:"what" help:"Show what is approved."`
	Prune     bool   `xor:"what" help:"Drop approvals whose file is gone or changed."`
}

func trustCommand() cli.Command {
	return cli.Command{
		Verb: "trust", Summary: "approve what a project asks for", Grammar: &trustCmd{},
		Detail: "A project may ask for host paths, sockets, credentials, ports, variables and destinations. Nothing of that is given before you approve it here. " +
			"The approval holds for each file as a whole, with what its paths resolve to now: any change of an item, or of a link behind it, takes a new approval.",
		Examples: []string{"coi trust", "coi trust --list", "coi trust --prune --yes"},
		Exits:    []string{"1  inside a container, or the store cannot be written", "2  no terminal to ask on"},
	}
}

// Run lists everything that waits, asks once and stores the answer.
func (t *trustCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	switch {
	case t.List:
		return list(c, h, t.Format)
	case t.IsJSON():
		return cli.Usage("--format goes with --list")
	}
	if err := outside(c); err != nil {
		return err
	}
	if t.Prune {
		return prune(c, h, t.Consent)
	}
	units, err := t.units(c, h)
	if err != nil {
		return err
	}
	if len(units) == 0 {
		_, err := fmt.Fprintln(c.Stdout, "nothing to approve")
		return err
	}
	n := 0
	for _, u := range units {
		_, _ = fmt.Fprint(c.Stdout, describe(h, u))
		n += len(u.Items)
	}
	if err := c.Ask(t.Consent, "approve %s?", count(n, "item")); err != nil {
		return err
	}
	if err := store(h, units); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Stdout, "approved %s\n", count(n, "item"))
	return err
}

// units are the files of this workspace that ask for something not approved.
func (t *trustCmd) units(c *cli.Context, h home.Home) ([]config.Unit, error) {
	all, warnings, err := config.Units(config.Options{Home: h, Getenv: without(c.Getenv, "COI_TRUST_ALL"), Workspace: t.Workspace})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.Warn(w.Text, w.Hints...)
	}
	var out []config.Unit
	for _, u := range all {
		if !u.Approved && len(u.Needed()) > 0 {
			out = append(out, u)
		}
	}
	return out, nil
}

// without hides a variable.
func without(getenv func(string) string, name string) func(string) string {
	return func(n string) string {
		if n == name {
			return ""
		}
		return getenv(n)
	}
}

// outside refuses to work where the agent could be the one who answers.
func outside(c *cli.Context) error {
	if c.Getenv("COI") == "1" && c.Getenv("IS_SANDBOX") == "1" {
		return cli.Fail(coi.ExitFailed, "approvals are given outside the container")
	}
	return nil
}

// describe says every item of a file in words: what is written, what it
// resolves to, what it gives and why that matters.
func describe(h home.Home, u config.Unit) string {
	var b strings.Builder
	b.WriteString(cli.Escape(h.Shorten(u.File)))
	if u.Changed {
		b.WriteString(" (approved before, with other items or targets)")
	}
	b.WriteByte('\n')
	for _, i := range u.Items {
		fmt.Fprintf(&b, "  %s\n", cli.Escape(i.Words()))
		where := fmt.Sprintf("line %d", i.Line)
		if i.File != u.File {
			where = fmt.Sprintf("%s:%d", h.Shorten(i.File), i.Line)
		}
		if i.Target != nil {
			where += fmt.Sprintf(", resolves to %s %s", i.Target.Type, i.Target.Path)
		}
		fmt.Fprintf(&b, "      %s\n", cli.Escape(where))
		if i.Needed {
			fmt.Fprintf(&b, "      %s; %s\n", i.Access, i.Why)
		} else {
			b.WriteString("      allowed already, by your own configuration or since it stays inside the workspace\n")
		}
	}
	return b.String()
}

// store writes approvals of exactly what was shown.
func store(h home.Home, units []config.Unit) error {
	err := trust.Update(h, func(s *trust.Store) error {
		for _, u := range units {
			a := trust.Approval{Fingerprint: trust.Fingerprint(u.Items), ApprovedAt: time.Now().UTC().Truncate(time.Second), Items: []string{}}
			for _, i := range u.Items {
				a.Items = append(a.Items, i.String())
			}
			s.Approvals[u.File] = a
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the approval: %w", err)
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
