package main

import (
	"context"
	"errors"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/pkg/cli"
)

// factsTime bounds all questions to Incus together.
const factsTime = 2 * time.Second

type factsCmd struct {
	cli.Globals
	JSON bool `name:"json" help:"Print JSON (the only form)."`
}

// factsCommand is internal: health asks it what Incus says.
func factsCommand() cli.Command {
	return cli.Command{Verb: "facts", Summary: "what Incus says about this machine (internal)", Grammar: &factsCmd{}}
}

type fact struct {
	Schema     int               `json:"schema_version"`
	Reachable  bool              `json:"reachable"`
	Error      string            `json:"error"`
	Permitted  bool              `json:"permitted"`
	Version    string            `json:"version"`
	Project    string            `json:"project"`
	Driver     string            `json:"storage_driver"`
	Pools      []incus.PoolSpace `json:"pools"`
	Images     []incus.ImageFact `json:"images"`
	Containers []factContainer   `json:"containers"`
	Remote     string            `json:"remote"`
}

type factContainer struct {
	Name     string                  `json:"name"`
	Status   string                  `json:"status"`
	Config   map[string]string       `json:"config"`
	Devices  map[string]incus.Device `json:"devices"`
	Profiles []string                `json:"profiles"`
}

// Run prints the facts, also when Incus is down.
func (f *factsCmd) Run(c *cli.Context) error {
	ctx, stop := context.WithTimeout(c, factsTime)
	defer stop()
	out := fact{Schema: 1, Project: "default", Pools: []incus.PoolSpace{}, Images: []incus.ImageFact{}, Containers: []factContainer{}}
	out.Permitted = true
	if err := out.ask(ctx, c); err != nil {
		out.Error = err.Error()
		if errors.Is(err, incus.ErrDenied) {
			out.Reachable, out.Permitted = true, false
		}
	}
	return c.PrintJSON(out)
}

func (f *fact) ask(ctx context.Context, c *cli.Context) error {
	// A broken configuration must not hide what Incus says.
	if h, err := c.Home(); err == nil {
		if cfg, err := looseConfig(c, h, "", ""); err == nil {
			f.Project, f.Remote = cfg.Incus.Project, cfg.Incus.Remote
		}
	}
	door, err := incus.Connect(ctx, incus.SocketPath(c.Getenv), f.Project)
	if err != nil {
		return err
	}
	if f.Version, err = door.Version(ctx); err != nil {
		return err
	}
	f.Reachable = true
	if f.Pools, err = door.PoolSpaces(ctx); err != nil {
		return err
	}
	if pool, err := findPool(ctx, door, ""); err == nil {
		f.Driver = pool.Driver
	}
	if f.Images, err = door.ImageFacts(ctx); err != nil {
		return err
	}
	all, err := door.Instances(ctx)
	for _, i := range pick.Here(all) {
		if pick.Ours(i) {
			f.Containers = append(f.Containers, factContainer{i.Name, i.Status, i.ExpandedConfig, i.ExpandedDevices, some(i.Profiles)})
		}
	}
	return err
}
