package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/daemon"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/trail"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// runCmd is the service.
type runCmd struct {
	Once   bool `help:"Arm what is wanted, look once, end."`
	DryRun bool `help:"Judge and record, freeze and kill nothing."`
}

// Run watches until it is told to end.
func (r *runCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	log, err := serviceLog(h)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// What there is to do comes in small pieces: to hand it between processors
	// costs several times what it takes. Whoever works long yields in between.
	runtime.GOMAXPROCS(1)
	hurry()
	records := trail.New(h, log)
	defer records.Close()
	d := daemon.New(daemon.Options{
		Home: h, Names: names{}, Log: log, Version: version.Number, DryRun: r.DryRun, Once: r.Once, Confine: true,
		NewJudge: func(cfg engine.Config) daemon.Judge { return engine.New(cfg) },
		Trail:    records,
	})
	err = d.Run(c)
	if errors.Is(err, home.ErrLocked) {
		return cli.Fail(coi.ExitFailed, "%w", err).Hint("coi watch status")
	}
	return err
}

// hurry puts every thread before the others of the machine; threads begun later
// inherit it. In a storm every processor is busy, and a guard that waits for its
// turn is late. Without the right the scheduler decides.
func hurry() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, -10)
		}
	}
}

func serviceLog(h home.Home) (*os.File, error) {
	if _, err := h.Ensure(h.Logs()); err != nil {
		return nil, err
	}
	f, err := home.OpenAppend(h.Path("logs", "watch.log"))
	if err != nil {
		return nil, fmt.Errorf("open the service's log: %w", err)
	}
	return f, nil
}
