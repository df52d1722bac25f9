package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/daemon"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// updateCmd has the rules read again.
type updateCmd struct {
	Dir string `help:"Take the rules from this folder." placeholder:"DIR"`
}

// Run asks the service and waits for its answer.
func (u *updateCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	var d run.Daemon
	if run.Read(h.Run(run.WatchDaemonFile), &d) != nil || !d.Alive(time.Now()) {
		return cli.Fail(coi.ExitFailed, "coi-watch is not running: rules are read when it starts").Hint("coi health")
	}
	var r daemon.Reload
	_ = run.Read(h.Run(run.WatchReloadFile), &r) // the first request is number 1
	r.SchemaVersion = run.Schema
	r.Generation++
	if r.Dir = u.Dir; u.Dir != "" {
		if r.Dir, err = filepath.Abs(u.Dir); err != nil {
			return err
		}
	}
	if err := run.Write(h.Run(run.WatchReloadFile), r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c, 5*time.Second)
	defer cancel()
	err = run.Wait(ctx, h.Run(run.WatchDaemonFile), func(data []byte) bool {
		var st daemon.State
		return data != nil && json.Unmarshal(data, &st) == nil && st.Reload == r.Generation
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return cli.Fail(coi.ExitFailed, "coi-watch did not answer within 5 s").Hint("coi watch status")
	}
	if err != nil {
		return err
	}
	names, err := run.Names(h.Run(), run.WatchStatusFile)
	for _, n := range names {
		var st run.WatchStatus
		if run.Read(h.Run(n+run.WatchStatusFile), &st) == nil {
			for _, p := range st.Problems {
				c.Warn(n + ": " + p)
			}
		}
	}
	return err
}
