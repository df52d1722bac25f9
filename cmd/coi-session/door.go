package main

import (
	"context"
	"errors"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

// openDoor connects to the Incus that the configuration names.
func openDoor(c *cli.Context, cfg *config.Config) (*incus.Client, error) {
	project := ""
	if cfg.Incus.Project != "default" {
		project = cfg.Incus.Project
	}
	door, err := incus.Connect(c, incus.SocketPath(c.Getenv), project)
	return door, incusError(err, cfg.Incus.Group)
}

// incusError gives the errors of a missing or forbidden Incus their exit code
// and advice.
func incusError(err error, group string) error {
	switch {
	case errors.Is(err, incus.ErrDenied):
		return cli.Fail(coi.ExitIncus, "connect to Incus: %w", err).Hint("sudo usermod -aG %s $USER, then log in again", group)
	case errors.Is(err, incus.ErrUnreachable):
		return cli.Fail(coi.ExitIncus, "connect to Incus: %w", err).Hint("make setup, or sudo systemctl start incus; coi health says more")
	}
	return err
}

func supportedIncus(ctx context.Context, door *incus.Client) error {
	v, err := door.Version(ctx)
	if err != nil {
		return incusError(err, "incus-admin")
	}
	if !incus.Supported(v) {
		return cli.Fail(coi.ExitFailed, "Incus %s is too old: %d.0 or later is needed", cli.Escape(v), incus.MinMajor)
	}
	return nil
}
