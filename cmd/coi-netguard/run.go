package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/record"
)

type runCmd struct {
	Dir    string `placeholder:"DIR" type:"path" help:"Read specs from DIR instead of ~/.coi/run; hand-written ones are enough."`
	Once   bool   `help:"Put everything into force, answer, and end; the rules stay."`
	DryRun bool   `name:"dry-run" help:"Print the rules that would be written and end."`
	// Sessions that start a guard themselves have it end with what it guards.
	UntilIdle time.Duration `name:"until-idle" hidden:"" help:"End when there was nothing to guard for so long."`
}

// gcPercent trades a little work for memory. A fixed limit is no alternative: a
// heap that has grown past it is collected without end.
const gcPercent = 50

func (c *runCmd) Run(x *cli.Context) error {
	h, err := x.Home()
	if err != nil {
		return err
	}
	dir := h.Run()
	if c.Dir != "" {
		dir = c.Dir
	}
	if _, err := h.Ensure(h.Run()); err != nil {
		return err
	}
	if c.DryRun {
		return c.plan(x, h, dir)
	}
	lock, err := home.TryLock(filepath.Join(dir, run.NetguardLock))
	if errors.Is(err, home.ErrLocked) {
		return cli.Fail(coi.ExitFailed, "another guard runs already (pid %d)", home.Holder(filepath.Join(dir, run.NetguardLock)))
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	only, err := claim(h.Table())
	if err != nil {
		return err
	}
	if only != nil {
		defer func() { _ = only.Close() }()
	}
	debug.SetGCPercent(gcPercent)
	for _, d := range []string{h.Audit(), h.Logs()} {
		if _, err := h.Ensure(d); err != nil {
			return err
		}
	}
	rec, err := record.New(h)
	if err != nil {
		return err
	}
	defer rec.Close()
	settings, err := guard.ReadSettings(h, x.Getenv)
	if err != nil {
		x.Warn("the configuration cannot be read, the defaults are used: " + err.Error())
		rec.Log("", true, "the configuration cannot be read, the defaults are used: "+err.Error())
	}
	g, err := guard.New(guard.Options{Home: h, Dir: dir, Settings: settings, Version: version.Number, ResolvConf: "/etc/resolv.conf", Recorder: rec, UntilIdle: c.UntilIdle, Sockets: stored(), Store: store})
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, stop := context.WithCancel(x)
	defer stop()
	g.OnReady(func() {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
		if c.Once {
			stop()
		}
	})
	go watchdog(ctx)
	if err := g.Run(ctx); err != nil {
		return fmt.Errorf("start the guard: %w", err)
	}
	return nil
}

// plan prints what would be written. It takes no lock: a guard may run.
func (c *runCmd) plan(x *cli.Context, h home.Home, dir string) error {
	settings, err := guard.ReadSettings(h, x.Getenv)
	if err != nil {
		return err
	}
	g, err := guard.New(guard.Options{Home: h, Dir: dir, Settings: settings, Version: version.Number})
	if err != nil {
		return err
	}
	defer g.Close()
	text, err := g.Plan()
	if err == nil {
		_, err = fmt.Fprint(x.Stdout, text)
	}
	return err
}

// watchdog tells systemd that we live.
func watchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
	}
}
