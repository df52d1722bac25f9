package main

import (
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
)

type rulesCmd struct {
	cli.Format
	Container string `arg:"" optional:"" help:"Container or alias; default: all."`
	Wanted    bool   `help:"Print the rules as they should be instead."`
}

type rulesDoc struct {
	SchemaVersion int               `json:"schema_version"`
	Table         string            `json:"table"`
	Shared        string            `json:"shared"`
	Containers    map[string]string `json:"containers"`
	Allowed       []rulesEntry      `json:"allowed"`
}

type rulesEntry struct {
	Container string   `json:"container"`
	Dest      string   `json:"dest"`
	Ports     []string `json:"ports"`
	Origin    string   `json:"origin"`
}

func (c *rulesCmd) Run(x *cli.Context) error {
	h, err := x.Home()
	if err != nil {
		return err
	}
	names := []string{c.Container}
	if c.Container == "" {
		if names, err = client.All(h); err != nil {
			return err
		}
	}
	doc := rulesDoc{SchemaVersion: 1, Containers: map[string]string{}, Allowed: []rulesEntry{}}
	var order []string
	for _, name := range names {
		f, err := client.Open(x, name)
		if err != nil {
			return err
		}
		text := f.View.Rules
		if c.Wanted {
			text = f.View.Wanted
		}
		doc.Table, doc.Shared, doc.Containers[f.Name] = f.View.Table, f.View.Shared, text
		order = append(order, f.Name)
		for _, d := range f.Spec.Policy.Allowed {
			doc.Allowed = append(doc.Allowed, rulesEntry{f.Name, d.Dest, orEmpty(d.Ports), d.Origin})
		}
	}
	if c.IsJSON() {
		return x.PrintJSON(doc)
	}
	if doc.Table == "" {
		_, _ = fmt.Fprintln(x.Stderr, "no rules have been read yet")
		return nil
	}
	var b strings.Builder
	for _, e := range doc.Allowed {
		fmt.Fprintf(&b, "# %s: allowed %s %s (%s)\n", cli.Escape(e.Container), cli.Escape(e.Dest), cli.Escape(strings.Join(e.Ports, ",")), cli.Escape(e.Origin))
	}
	fmt.Fprintf(&b, "table inet %s {\n%s", doc.Table, doc.Shared)
	for _, name := range order {
		fmt.Fprintf(&b, "\t# %s\n%s", cli.Escape(name), doc.Containers[name])
	}
	b.WriteString("}\n")
	// Every text in it was made by this program from numbers and checked names.
	_, err = fmt.Fprint(x.Stdout, b.String())
	return err
}
