package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/image"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

type imageDeleteCmd struct {
	cli.Consent
	Alias string `arg:"" help:"Image."`
}

// Run deletes an alias, and the image when that was its last name. It asks when
// the configuration in force starts sessions from it.
func (d *imageDeleteCmd) Run(c *cli.Context) error {
	h, cfg, door, err := imageDoor(c)
	if err != nil {
		return err
	}
	all, err := door.Images(c)
	if err != nil {
		return incusError(err, "incus-admin")
	}
	i := slices.IndexFunc(all, func(img incus.LocalImage) bool { return slices.Contains(img.Aliases, d.Alias) })
	if i < 0 {
		return noImage(d.Alias)
	}
	if users := usersOf(c, h, cfg, d.Alias); len(users) > 0 {
		if err := c.Ask(d.Consent, "%s start from %s; delete it?", cli.Escape(strings.Join(users, ", ")), cli.Escape(d.Alias)); err != nil {
			return err
		}
	}
	// Dated names made by a build are no reason to keep the image.
	others := slices.DeleteFunc(slices.Clone(all[i].Aliases), func(a string) bool {
		stem, _, _, dated := image.Dated(a)
		return a == d.Alias || dated && stem == d.Alias
	})
	if len(others) > 0 {
		err = door.DeleteAlias(c, d.Alias)
	} else {
		err = door.DeleteImage(c, all[i].Fingerprint)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", d.Alias, err)
	}
	return image.Forget(h, d.Alias)
}

// usersOf is the configuration in force, or else the profiles, whose sessions
// start from an image. A profile that cannot be read starts none.
func usersOf(c *cli.Context, h home.Home, cfg *config.Config, alias string) []string {
	if cfg.Container.Image == alias {
		return []string{"sessions here"}
	}
	o := config.Options{Home: h, Getenv: c.Getenv, Environ: os.Environ(), Workspace: "."}
	profiles, err := config.OpenProfiles(o)
	if err != nil {
		return nil
	}
	var users []string
	for _, p := range profiles.Refs() {
		o.Profile = p.Name
		if of, err := config.Load(o); err == nil && of.Container.Image == alias {
			users = append(users, "sessions of profile "+p.Name)
		}
	}
	return users
}

type imageCleanupCmd struct {
	cli.Consent
	Prefix string `arg:"" help:"Start of the dated aliases PREFIX…-YYYYMMDD-HHMMSS."`
	Keep   int    `required:"" placeholder:"N" help:"How many of the newest stay, at least 1."`
	DryRun bool   `name:"dry-run" help:"Only say what would be deleted."`
}

// Run deletes old dated images. One that has a name of its own stays.
func (d *imageCleanupCmd) Run(c *cli.Context) error {
	if d.Keep < 1 {
		return cli.Usage("--keep %d: at least 1", d.Keep)
	}
	_, _, door, err := imageDoor(c)
	if err != nil {
		return err
	}
	all, err := door.Images(c)
	if err != nil {
		return incusError(err, "incus-admin")
	}
	local := make([]image.Local, 0, len(all))
	for _, i := range all {
		local = append(local, image.Local{Fingerprint: i.Fingerprint, Aliases: i.Aliases})
	}
	old := image.Old(local, d.Prefix, d.Keep)
	if len(old) == 0 {
		_, _ = fmt.Fprintln(c.Stderr, "nothing to delete")
		return nil
	}
	for _, v := range old {
		_, _ = fmt.Fprintln(c.Stdout, cli.Escape(v.Alias))
	}
	if d.DryRun {
		return nil
	}
	if err := c.Ask(d.Consent, "delete these %d images?", len(old)); err != nil {
		return err
	}
	var failed error
	for _, v := range old {
		if err := door.DeleteImage(c, v.Fingerprint); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", v.Alias, err))
		}
	}
	if failed != nil {
		return cli.Fail(coi.ExitFailed, "delete images: %w", failed)
	}
	return nil
}
