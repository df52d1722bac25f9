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
	if r := cfg.Incus.Remote; r != "" && r != "local" {
		return nil, cli.Fail(coi.ExitFailed, "incus.remote = %q: a session runs only on the machine whose guards answer here", cli.Escape(r)).
			Hint("log in on that machine and run coi there, or take incus.remote out of ~/.coi/config.toml")
	}
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
		return cli.Fail(coi.ExitIncus, "connect to Incus: %w", err).Hint("make setup (of a package: sudo /usr/libexec/coi/setup), or sudo systemctl start incus; coi health says more")
	}
	return err
}

func supportedIncus(ctx context.Context, door *incus.Client, member string) error {
	v, err := door.Version(ctx)
	if err != nil {
		return incusError(err, "incus-admin")
	}
	if !incus.Supported(v) {
		return cli.Fail(coi.ExitFailed, "Incus %s is too old: %d.0 or later is needed", cli.Escape(v), incus.MinMajor)
	}
	return ownMember(ctx, door, member)
}

// ownMember refuses to start on another machine of the cluster, where nobody
// would ask the guards.
func ownMember(ctx context.Context, door *incus.Client, member string) error {
	if member == "" {
		return nil
	}
	here, err := door.Member(ctx)
	switch {
	case err != nil:
		return err
	case here == "":
		return cli.Fail(coi.ExitFailed, "incus.member = %q: this Incus is no cluster", cli.Escape(member)).Hint("take incus.member out of ~/.coi/config.toml")
	case here != member:
		return cli.Fail(coi.ExitFailed, "incus.member = %q, and this machine is %s: a session runs where its guards are", cli.Escape(member), cli.Escape(here)).
			Hint("log in on %s and run coi there", cli.Escape(member))
	}
	return nil
}
