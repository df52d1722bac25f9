package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// States of an approval.
const (
	valid   = "valid"
	changed = "changed"
	gone    = "file gone"
)

type listed struct {
	Path        string   `json:"path"`
	Fingerprint string   `json:"fingerprint"`
	ApprovedAt  string   `json:"approved_at"`
	State       string   `json:"state"`
	Items       []string `json:"items"`
}

// list prints every approval with what became of it.
func list(c *cli.Context, h home.Home, f cli.Format) error {
	s, err := trust.Load(h.Trust())
	if err != nil {
		c.Warn("nothing is trusted: "+err.Error(), "chmod 600 "+cli.ShellQuote(h.Trust()))
	}
	out, rows := []listed{}, [][]string{}
	for _, path := range s.Paths() {
		a := s.Approvals[path]
		l := listed{path, a.Fingerprint, a.ApprovedAt.UTC().Format(time.RFC3339), state(c, h, s, path), a.Items}
		if l.Items == nil {
			l.Items = []string{}
		}
		out = append(out, l)
		rows = append(rows, []string{h.Shorten(path), strconv.Itoa(len(l.Items)), l.ApprovedAt, short(l.Fingerprint), l.State})
	}
	if f.IsJSON() {
		return c.PrintJSON(out)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(c.Stderr, "no approvals")
		return err
	}
	return c.Table([]cli.Column{{Name: "CONFIG"}, {Name: "ITEMS"}, {Name: "APPROVED", Flex: true}, {Name: "FINGERPRINT", Flex: true}, {Name: "STATE"}}, rows)
}

func short(fingerprint string) string { return fingerprint[:min(12, len(fingerprint))] }

// state compares an approval with what the file asks for now.
func state(c *cli.Context, h home.Home, s trust.Store, path string) string {
	if _, err := os.Lstat(path); err != nil {
		return gone
	}
	u, ok := config.UnitOf(config.Options{Home: h, Getenv: without(c.Getenv, "COI_TRUST_ALL")}, path)
	if !ok {
		return changed
	}
	if approved, _ := s.Approved(path, u.Items); !approved {
		return changed
	}
	return valid
}
