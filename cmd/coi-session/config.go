package main

import (
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// loadConfig reads what holds for a workspace and lets typed flags beat it.
func loadConfig(c *cli.Context, h home.Home, workspace string, f *sessionFlags) (*config.Config, error) {
	cfg, err := config.Load(c, config.Request{Home: h, Workspace: workspace, Profile: f.Profile, Getenv: c.Getenv})
	if err != nil {
		return nil, err
	}
	if f.Image != "" {
		cfg.Container.Image = f.Image
	}
	if f.Network != "" {
		cfg.Network.Mode = f.Network
	}
	if f.Persistent != nil {
		cfg.Container.Persistent = *f.Persistent
	}
	return cfg, nil
}
