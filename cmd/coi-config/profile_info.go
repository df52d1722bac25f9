package main

import (
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

type profileInfoCmd struct {
	cli.Globals
	cli.Format
	where
	named
}

// Run prints what the profile sets, by section, with origins.
func (i *profileInfoCmd) Run(c *cli.Context) error {
	ps, ref, err := i.open(c, i.where)
	if err != nil {
		return err
	}
	info, entries := ps.Info(ref)
	if info.Err != nil {
		return info.Err
	}
	for n := range entries {
		entries[n] = entries[n].Masked()
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	if i.IsJSON() {
		doc := config.Nested(entries)
		doc["schema_version"], doc["name"], doc["source"], doc["trusted"] = 1, info.Name, source(ref), ref.Trusted
		if info.Inherits != "" {
			doc["inherits"] = info.Inherits
		}
		origins := map[string]config.Origin{}
		for _, e := range entries {
			origins[e.Key] = e.Origin
		}
		doc["origins"] = origins
		return c.PrintJSON(doc)
	}
	head := fmt.Sprintf("# %s %s", info.Name, source(ref))
	if ref.File != "" {
		head += " " + shorten(h, ref.File)
	}
	if info.Inherits != "" {
		head += ", inherits " + info.Inherits
	}
	_, _ = fmt.Fprintln(c.Stdout, cli.Escape(head))
	last := ""
	for _, e := range entries {
		key := e.Key
		if n := strings.LastIndexByte(e.Key, '.'); n > 0 && !strings.Contains(e.Key, `"`) {
			table := e.Key[:n]
			key = e.Key[n+1:]
			if table != last {
				_, _ = fmt.Fprintf(c.Stdout, "\n[%s]\n", cli.Escape(table))
				last = table
			}
		}
		_, _ = fmt.Fprintln(c.Stdout, cli.Escape(key+" = "+config.Format(e.Value)+"  # "+e.Origin.Shorten(h).String()))
	}
	return nil
}
