package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/code-on-incus/coi/cmd/coi-update/internal/install"
	"github.com/code-on-incus/coi/cmd/coi-update/internal/release"
	"github.com/code-on-incus/coi/cmd/coi-update/internal/unpack"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

type update struct {
	cli.Globals
	All      all      `cmd:"" default:"withargs" help:"Update the programs, then the rule collections."`
	Core     core     `cmd:"" help:"Update coi's programs from update.source."`
	Patterns patterns `cmd:"" help:"Update the Sigma and GTFOBins rule collections."`
}

func updateCommand() cli.Command {
	return cli.Command{
		Verb: "update", Summary: "Update coi and its detection rules. Nothing is updated unless you ask.",
		Examples: []string{"coi update core --check", "coi update core --yes", "coi update patterns --dry-run", "coi update patterns --sigma ./sigma/rules"},
		Grammar:  &update{},
	}
}

type all struct{ cli.Consent }

// Run updates the programs and then the rules.
func (a *all) Run(c *cli.Context) error {
	if err := (&core{Consent: a.Consent}).Run(c); err != nil {
		return err
	}
	return (&patterns{}).Run(c)
}

type core struct {
	cli.Consent
	Check bool   `help:"Only say whether there is a newer release; exit 1 if there is."`
	To    string `name:"version" placeholder:"V" help:"Install this version instead of the newest."`
}

// Run finds, proves, unpacks and swaps in a release.
func (u *core) Run(c *cli.Context) error {
	if release.Key == "" && !u.Given() {
		return cli.Fail(coi.ExitFailed, "update core: this is a development build").Hint("build and install it again with make install, or add --force to try a release source")
	}
	source, err := source(c)
	if err != nil {
		return err
	}
	ix, err := release.Load(c, source)
	if err != nil {
		return fail(err, "set update.source to the URL or directory of an index.json")
	}
	r, err := ix.Pick(u.To, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return fail(err, "coi update core --check")
	}
	newer := release.Compare(r.Version, version.Number)
	if u.To == "" && newer <= 0 {
		_, _ = fmt.Fprintf(c.Stdout, "coi v%s is the newest\n", version.Number)
		return nil
	}
	if u.Check {
		_, _ = fmt.Fprintf(c.Stdout, "coi v%s is available, v%s is installed\n", r.Version, version.Number)
		return cli.Exit(coi.ExitFailed)
	}
	if err := u.install(c, source, r); err != nil {
		return err
	}
	for _, p := range ix.Passed(version.Number, r) {
		_, _ = fmt.Fprintf(c.Stdout, "\nnotes for v%s:\n%s\n", cli.Escape(p.Version), cli.EscapeKeepNewline(p.Notes))
	}
	return nil
}

func fail(err error, hint string) error {
	return cli.Fail(coi.ExitFailed, "update: %w", err).Hint("%s", hint)
}

func source(c *cli.Context) (string, error) {
	h, err := c.Home()
	if err != nil {
		return "", err
	}
	cfg, err := config.Load(config.Options{Home: h, Getenv: c.Getenv})
	if err != nil {
		return "", err
	}
	if cfg.Update.Source == "" {
		return "", cli.Fail(coi.ExitFailed, "update core: update.source is empty").Hint("set update.source in ~/.coi/config.toml, or use your package manager")
	}
	return cfg.Update.Source, nil
}

func (u *core) install(c *cli.Context, source string, r release.Release) error {
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		return err
	}
	layout, err := install.Find(self)
	if err != nil {
		return fail(err, "install coi with make install or a package first")
	}
	if err := layout.Writable(); err != nil {
		return fail(err, "sudo coi update core --yes")
	}
	if err := c.Ask(u.Consent, "install coi v%s over v%s in %s?", r.Version, version.Number, layout.Tools); err != nil {
		return err
	}
	_, done := c.Step("downloading " + r.Archive)
	defer done()
	archive, err := release.Fetch(c, source, r, filepath.Dir(layout.Tools))
	if err != nil {
		return fail(err, "the installed programs are untouched")
	}
	defer func() { _ = os.Remove(archive) }()
	if err := swapIn(archive, layout); err != nil {
		return fail(err, "the installed programs are untouched")
	}
	return u.handOver(c, layout)
}

// swapIn unpacks beside the installed tools and exchanges the directories, so
// that no moment sees half a set. The archive holds bin/coi and libexec/coi/.
func swapIn(archive string, l install.Layout) error {
	stage, err := os.MkdirTemp(filepath.Dir(l.Tools), ".coi-stage-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	if err := os.Chmod(stage, 0o755); err != nil {
		return err
	}
	if err := unpack.Tar(archive, stage, true); err != nil {
		return err
	}
	tools, dispatcher := filepath.Join(stage, "libexec", "coi"), filepath.Join(stage, "bin", "coi")
	for _, p := range []string{filepath.Join(tools, "coi-session"), filepath.Join(tools, "coi-netguard"), dispatcher} {
		if st, err := os.Stat(p); err != nil || st.Mode()&0o111 == 0 {
			return fmt.Errorf("the archive has no program %s", filepath.Base(p))
		}
	}
	if l.Tools == filepath.Dir(l.Dispatcher) { // everything in one directory
		if err := os.Rename(dispatcher, filepath.Join(tools, "coi")); err != nil {
			return err
		}
		return install.Swap(tools, l.Tools)
	}
	if err := install.Swap(tools, l.Tools); err != nil {
		return err
	}
	return os.Rename(dispatcher, l.Dispatcher)
}

func (u *core) handOver(c *cli.Context, l install.Layout) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c, 2*release.HandOverTime)
	defer cancel()
	var problems []error
	for _, g := range install.Guards {
		running, err := install.HandOver(ctx, h, l.Tools, g)
		if err != nil {
			problems = append(problems, err)
		} else if running {
			_, _ = fmt.Fprintf(c.Stdout, "%s was handed over; its rules stayed in force\n", g.Program)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fail(err, "coi health")
	}
	return nil
}
