package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// memory reads the proportional set size of both guards while one session runs.
func memory(ctx context.Context, h *house.House, _ int) ([]measure, error) {
	ws, err := h.Workspace("memory")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	cmd := h.Command(ctx, house.Call{Dir: ws, Args: []string{"run", "--", "cat"}})
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var out []measure
	for _, g := range []struct{ name, file string }{{"coi-netguard", run.NetguardFile}, {"coi-watch", run.WatchDaemonFile}} {
		var size float64
		err := house.Eventually(ctx, 20*time.Second, func() error {
			var d run.Daemon
			if err := run.Read(h.Home.Run(g.file), &d); err != nil {
				return err
			}
			size, err = pss(d.PID)
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", g.name, err), in.Close(), cmd.Wait())
		}
		out = append(out, measure{"memory of " + g.name, size, "MiB", 0, "proportional set size, one session"})
	}
	return out, errors.Join(in.Close(), cmd.Wait())
}

func pss(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kib); n == 1 {
			return kib / 1024, nil
		}
	}
	return 0, errors.New("no Pss line")
}
