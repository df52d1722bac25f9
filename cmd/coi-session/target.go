package main

import (
	"errors"
	"path/filepath"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// desk is what verbs about existing containers work with.
type desk struct {
	c    *cli.Context
	home home.Home
	cfg  *config.Config
	door *incus.Client

	revived []string // containers whose sessions got a new supervisor just now
}

// openDesk reads the configuration of a workspace, connects to Incus, and gives
// sessions that lost their supervisor a new one.
func openDesk(c *cli.Context, workspace string) (*desk, error) {
	h, err := c.Home()
	if err != nil {
		return nil, err
	}
	dir := workspace
	if _, err := filepath.EvalSymlinks(dir); err != nil && dir == "." {
		dir = "" // the current directory is gone; names still work
	}
	cfg, err := looseConfig(c, h, dir, "")
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		if len(cfg.Gated)+len(cfg.Refused) == 0 {
			c.Warn(w.Text, w.Hints...)
		}
	}
	door, err := openDoor(c, cfg)
	if err != nil {
		return nil, err
	}
	return &desk{c: c, home: h, cfg: cfg, door: door, revived: supervise.Revive(h)}, nil
}

// identity is that of the workspace.
func (d *desk) identity() string {
	if name := d.cfg.Container.SessionName; name != "" {
		return coi.SessionIdentity(name)
	}
	return d.cfg.Workspace
}

// find resolves the container that a verb means. useEnv is set for the verbs
// that obey COI_CONTAINER.
func (d *desk) find(name string, slot int, useEnv bool) (incus.Instance, error) {
	q := pick.Query{Verb: d.c.Verb, Name: name, Identity: d.identity(), Slot: slot, Home: d.home}
	if useEnv {
		q.Env = d.c.Getenv("COI_CONTAINER")
	}
	i, err := pick.Find(d.c, d.door, q)
	return i, incusError(err, d.cfg.Incus.Group)
}

// mine lists the containers of this user and this ~/.coi on this machine.
func (d *desk) mine() ([]incus.Instance, error) {
	all, err := d.door.Instances(d.c)
	if err != nil {
		return nil, incusError(err, d.cfg.Incus.Group)
	}
	var out []incus.Instance
	for _, i := range pick.Here(all) {
		if pick.Mine(i, d.home) {
			out = append(out, i)
		}
	}
	return out, nil
}

// exitOf is the exit code that an error stands for.
func exitOf(err error) int {
	var e *cli.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return coi.ExitFailed
}
