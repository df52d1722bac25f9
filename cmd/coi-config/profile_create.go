package main

import (
	"fmt"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

type profileCreateCmd struct {
	cli.Globals
	where
	Name     string `arg:"" help:"Name of the profile; default makes a starter configuration."`
	Inherits string `placeholder:"PARENT" help:"Profile to inherit from."`
	User     bool   `help:"Under ~/.coi."`
	Project  bool   `help:"Under the project's .coi."`
}

// Run writes one file and never changes one.
func (p *profileCreateCmd) Run(c *cli.Context) error {
	if p.Name == "default" {
		return p.starter(c)
	}
	if !config.ValidProfileName(p.Name) {
		return cli.Usage("%q is no profile name (letters, digits and . _ -, starting with a letter or digit, at most 64)", p.Name)
	}
	if p.Inherits != "" {
		o, err := p.options(c)
		if err != nil {
			return err
		}
		ps, err := config.OpenProfiles(o)
		if err != nil {
			return err
		}
		if _, err := ps.Find(p.Inherits); err != nil {
			return cli.Usage("--inherits: %v", err)
		}
	}
	dir, err := p.place(c, p.User, p.Project)
	if err != nil {
		return err
	}
	return p.write(c, dir, filepath.Join(dir, "profiles", p.Name, "config.toml"), p.text())
}

func (p *profileCreateCmd) text() string {
	if p.Inherits != "" {
		return fmt.Sprintf("inherits = %q\n", p.Inherits)
	}
	return "# Profile " + p.Name + ": what stands here comes on top of the main configuration.\n" +
		"# inherits = \"hardened\"\n# context = \"context.md\"\n# clear = [\"mounts\"]\n# [container]\n# image = \"coi-default\"\n"
}

func (p *profileCreateCmd) starter(c *cli.Context) error {
	if p.Inherits != "" {
		return cli.Usage("--inherits does not go with default: a main configuration has no parent")
	}
	dir, err := p.place(c, !p.Project, p.Project)
	if err != nil {
		return err
	}
	return p.write(c, dir, filepath.Join(dir, "config.toml"), config.Starter())
}

func (p *profileCreateCmd) write(c *cli.Context, dir, path, text string) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	mode := map[bool]int{true: 0o600, false: 0o644}[dir == h.Dir]
	if err := makeFile(path, text, fileMode(mode)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Stdout, shorten(h, path))
	return err
}
