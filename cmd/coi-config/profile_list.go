package main

import (
	"fmt"
	"strconv"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

type profileListCmd struct {
	cli.Globals
	cli.Format
	where
}

type listed struct {
	Name        string `json:"name"`
	Image       string `json:"image"`
	Persistent  bool   `json:"persistent"`
	StoragePool string `json:"storage_pool,omitempty"`
	Inherits    string `json:"inherits,omitempty"`
	Source      string `json:"source"`
	Trusted     bool   `json:"trusted"`
}

// Run prints the table or the list.
func (l *profileListCmd) Run(c *cli.Context) error {
	o, err := l.options(c)
	if err != nil {
		return err
	}
	ps, err := config.OpenProfiles(o)
	if err != nil {
		return err
	}
	tell(c, ps)
	out, rows := []listed{}, [][]string{}
	for _, p := range ps.List() {
		if p.Err != nil {
			c.Warn(fmt.Sprintf("profile %s cannot be used: %s", p.Name, p.Err), "coi validate")
			continue
		}
		out = append(out, listed{p.Name, p.Image, p.Persistent, p.Pool, p.Inherits, source(p.ProfileRef), p.Trusted})
		rows = append(rows, []string{p.Name, p.Image, strconv.FormatBool(p.Persistent), p.Inherits, source(p.ProfileRef)})
	}
	if l.IsJSON() {
		return c.PrintJSON(out)
	}
	return c.Table([]cli.Column{{Name: "NAME"}, {Name: "IMAGE", Flex: true}, {Name: "PERSISTENT"}, {Name: "INHERITS", Flex: true}, {Name: "SOURCE"}}, rows)
}
