package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
)

type profileDeleteCmd struct {
	cli.Globals
	cli.Consent
	where
	named
}

// Run asks, then deletes the profile's file, and its directory when that is
// empty then: companions that the user keeps beside it are not ours to delete.
func (d *profileDeleteCmd) Run(c *cli.Context) error {
	_, ref, err := d.open(c, d.where)
	if err != nil {
		return err
	}
	if err := builtIn(ref); err != nil {
		return err
	}
	if err := c.Ask(d.Consent, "delete profile %s (%s)?", ref.Name, cli.Escape(ref.File)); err != nil {
		return err
	}
	if err := os.Remove(ref.File); err != nil {
		return fmt.Errorf("delete profile: %w", err)
	}
	dir := filepath.Dir(ref.File)
	err = os.Remove(dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		c.Note("other files of the profile are kept in " + dir)
		return nil
	}
	return err
}
