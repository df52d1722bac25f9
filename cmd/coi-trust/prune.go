package main

import (
	"fmt"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// prune drops approvals that hold no more.
func prune(c *cli.Context, h home.Home, q cli.Consent) error {
	s, err := trust.Load(h.Trust())
	if err != nil {
		return err
	}
	var stale []string
	for _, path := range s.Paths() {
		if st := state(c, h, s, path); st != valid {
			stale = append(stale, path)
			_, _ = fmt.Fprintf(c.Stdout, "%s: %s\n", cli.Escape(h.Shorten(path)), st)
		}
	}
	if len(stale) == 0 {
		_, err := fmt.Fprintln(c.Stdout, "nothing to drop")
		return err
	}
	if err := c.Ask(q, "drop %s?", count(len(stale), "approval")); err != nil {
		return err
	}
	return drop(h, stale)
}

func drop(h home.Home, paths []string) error {
	err := trust.Update(h, func(s *trust.Store) error {
		for _, p := range paths {
			delete(s.Approvals, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	return nil
}
