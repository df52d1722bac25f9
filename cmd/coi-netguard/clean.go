package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
)

type cleanCmd struct {
	Orphans bool `required:"" help:"Remove chains, sets, policy rules and leases of containers that Incus no longer has."`
	DryRun  bool `name:"dry-run" help:"Only say what would be removed."`
	cli.Consent
}

func (c *cleanCmd) Run(x *cli.Context) error {
	h, err := x.Home()
	if err != nil {
		return err
	}
	have, err := known(x)
	if err != nil {
		return err
	}
	specs, err := client.All(h)
	if err != nil {
		return err
	}
	if _, alive := client.Daemon(h); !alive {
		// A dead guard may have left rules of which no other file tells any more.
		leased, err := client.Leased(h)
		if err != nil {
			return err
		}
		specs = slices.Compact(slices.Sorted(slices.Values(append(specs, leased...))))
	}
	orphans := slices.DeleteFunc(specs, func(n string) bool { return slices.Contains(have, n) })
	for _, n := range orphans {
		_, _ = fmt.Fprintln(x.Stdout, cli.Escape(n))
	}
	if c.DryRun {
		return nil
	}
	if len(orphans) > 0 {
		if err := x.Ask(c.Consent, "remove the rules of %d containers?", len(orphans)); err != nil {
			return err
		}
	}
	for _, n := range orphans {
		if err := os.Remove(h.Run(n + run.NetFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if _, alive := client.Daemon(h); alive {
		return waitGone(x, h, orphans)
	}
	// Nobody looks after the table, so it is taken over for a moment.
	return (&runCmd{Once: true}).Run(x)
}

// waitGone waits until the daemon has let go of the containers.
func waitGone(x *cli.Context, h home.Home, names []string) error {
	ctx, cancel := context.WithTimeout(x, 10*time.Second)
	defer cancel()
	for _, n := range names {
		err := run.Wait(ctx, h.Run(n+run.NetStatusFile), func(data []byte) bool { return data == nil })
		if err != nil {
			var st run.NetStatus
			_ = run.Read(h.Run(n+run.NetStatusFile), &st)
			return cli.Fail(coi.ExitFailed, "%s: still there: %s", n, st.Error)
		}
	}
	return nil
}

// known asks coi-list which containers there are.
func known(x *cli.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(x, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, sibling("coi-list"), "--json")
	cmd.Stderr = x.Stderr
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, cli.Exit(exit.ExitCode())
		}
		return nil, fmt.Errorf("ask coi-list for the containers: %w", err)
	}
	var doc struct {
		Active []struct {
			Name string `json:"name"`
		} `json:"active_containers"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read the list of coi-list: %w", err)
	}
	if doc.Active == nil {
		return nil, errors.New("read the list of coi-list: it has no active_containers")
	}
	var names []string
	for _, c := range doc.Active {
		names = append(names, c.Name)
	}
	return names, nil
}

// sibling is a program beside this one, else one in PATH.
func sibling(name string) string {
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), name); isFile(p) {
			return p
		}
	}
	return name
}

func isFile(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular()
}
