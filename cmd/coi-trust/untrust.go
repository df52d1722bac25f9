package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/pkg/trust"
)

type untrustCmd struct {
	cli.Globals
	cli.Consent
	Workspace string   `short:"w" default:"." placeholder:"DIR" help:"Workspace whose approvals are revoked."`
	All       bool     `help:"Revoke every approval; asks."`
	Path      []string `arg:"" optional:"" help:"Files or directories whose approvals are revoked, in place of the workspace."`
}

func untrustCommand() cli.Command {
	return cli.Command{
		Verb: "untrust", Summary: "revoke an approval", Grammar: &untrustCmd{},
		Detail:   "Sessions that run already keep what was attached; they are named.",
		Examples: []string{"coi untrust", "coi untrust ~/src/app/.coi/config.toml", "coi untrust --all --yes"},
		Exits:    []string{"1  inside a container, or the store cannot be written", "2  no terminal to ask on"},
	}
}

// Run revokes and names the sessions that still have what was approved.
func (u *untrustCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	if err := outside(c); err != nil {
		return err
	}
	if u.All && len(u.Path) > 0 {
		return cli.Usage("--all and a path exclude each other")
	}
	s, err := trust.Load(h.Trust())
	if err != nil {
		return cli.Fail(coi.ExitFailed, "read the store: %w", err).Hint("rm %s forgets every approval", cli.ShellQuote(h.Trust()))
	}
	paths, err := u.match(s)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		_, err := fmt.Fprintln(c.Stdout, "nothing is approved here")
		return err
	}
	if u.All {
		if err := c.Ask(u.Consent, "revoke %s?", count(len(paths), "approval")); err != nil {
			return err
		}
	}
	if err := drop(h, paths); err != nil {
		return err
	}
	for _, p := range paths {
		_, _ = fmt.Fprintln(c.Stdout, "revoked "+cli.Escape(h.Shorten(p)))
	}
	return stillRunning(c, h, paths)
}

// match lists the approvals that the arguments mean.
func (u *untrustCmd) match(s trust.Store) ([]string, error) {
	if u.All {
		return s.Paths(), nil
	}
	roots := u.Path
	if len(roots) == 0 {
		roots = []string{filepath.Join(u.Workspace, ".coi")}
	}
	var out []string
	for _, root := range roots {
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, err
		}
		dir, base := filepath.Split(abs)
		if real, err := filepath.EvalSymlinks(dir); err == nil { // approvals are kept under real paths
			abs = filepath.Join(real, base)
		}
		for _, p := range s.Paths() {
			if trust.Within(p, abs) && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func stillRunning(c *cli.Context, h home.Home, paths []string) error {
	names, err := run.Names(h.Run(), run.SessionFile)
	if home.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		var s run.Session
		if run.Read(h.Run(name+run.SessionFile), &s) != nil || s.Phase == run.Ended {
			continue
		}
		if slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, s.Workspace+"/.coi/") }) {
			c.Warn("session "+s.Container+" runs and keeps what it has", "coi shutdown "+cli.ShellQuote(s.Container))
		}
	}
	return nil
}
