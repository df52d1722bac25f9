package main

import (
	"errors"
	"os"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// loadConfig reads what holds for a workspace, typed flags included.
func loadConfig(c *cli.Context, h home.Home, workspace string, f *sessionFlags, more ...config.Flag) (*config.Config, error) {
	flags := more
	add := func(key, name string, value any, set bool) {
		if set {
			flags = append(flags, config.Flag{Key: key, Value: value, Name: name})
		}
	}
	add("container.image", "--image", f.Image, f.Image != "")
	add("network.mode", "--network", f.Network, f.Network != "")
	add("tool.name", "--tool", f.Tool, f.Tool != "")
	if f.Persistent != nil {
		add("container.persistent", "--persistent", *f.Persistent, true)
	}
	by := ""
	if f.Profile != "" {
		by = "--profile"
	}
	cfg, err := config.Load(config.Options{Home: h, Getenv: c.Getenv, Environ: os.Environ(), Workspace: workspace, Profile: f.Profile, By: by, Flags: flags})
	return cfg, configError(err)
}

// configError gives the problems of configuration files their own lines.
func configError(err error) error {
	var ce *config.Error
	if !errors.As(err, &ce) {
		return err
	}
	lines := ce.Lines()
	if len(lines) == 0 {
		return cli.Fail(coi.ExitConfig, "%w", err)
	}
	e := cli.Fail(coi.ExitConfig, "%s", lines[0])
	e.Lines, e.Hints = lines[1:], ce.Hints()
	return e
}

// looseConfig is the configuration for commands that only look: an unknown
// profile is a warning, and a missing workspace no error.
func looseConfig(c *cli.Context, h home.Home, workspace, profile string) (*config.Config, error) {
	cfg, err := config.Load(config.Options{Home: h, Getenv: c.Getenv, Environ: os.Environ(), Workspace: workspace, Profile: profile, Lenient: true})
	return cfg, configError(err)
}
