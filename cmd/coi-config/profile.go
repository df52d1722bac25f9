package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

type profileCmd struct {
	List   profileListCmd   `cmd:"" help:"Profiles that can be named here."`
	Info   profileInfoCmd   `cmd:"" aliases:"show" help:"What a profile sets, parents included."`
	Create profileCreateCmd `cmd:"" help:"Make a profile; the name default makes a starter configuration."`
	Edit   profileEditCmd   `cmd:"" help:"Open a profile in your editor, then check it."`
	Delete profileDeleteCmd `cmd:"" help:"Delete a profile."`
}

func profileCommand() cli.Command {
	return cli.Command{
		Verb: "profile", Summary: "list, show, create and edit profiles", Grammar: &profileCmd{},
		Detail:   "A profile is profiles/NAME/config.toml under ~/.coi, the project's .coi or beside the file of COI_CONFIG. user:NAME, project:NAME and env:NAME tell profiles of one name apart.",
		Examples: []string{"coi profile list", "coi profile info hardened", "coi profile create default", "coi profile create research --inherits hardened --project"},
		Exits:    []string{"1  it exists already, or is not there", "2  the parent is unknown"},
	}
}

// named is the argument of verbs that take one profile.
type named struct {
	Name string `arg:"" help:"Name of the profile; user:NAME, project:NAME or env:NAME when several have it."`
}

// open reads the main files and finds the named profile.
func (n named) open(c *cli.Context, w where) (*config.Profiles, config.ProfileRef, error) {
	o, err := w.options(c)
	if err != nil {
		return nil, config.ProfileRef{}, err
	}
	ps, err := config.OpenProfiles(o)
	if err != nil {
		return nil, config.ProfileRef{}, err
	}
	tell(c, ps)
	ref, err := ps.Find(n.Name)
	return ps, ref, err
}

func tell(c *cli.Context, ps *config.Profiles) {
	for _, w := range ps.Warnings() {
		c.Warn(w.Text, w.Hints...)
	}
}

// source is the SOURCE column: where the profile is.
func source(ref config.ProfileRef) string {
	if ref.File == "" {
		return "(built-in)"
	}
	return ref.Source
}

// builtIn is the refusal to change a profile that has no file.
func builtIn(ref config.ProfileRef) error {
	if ref.File != "" {
		return nil
	}
	return cli.Fail(coi.ExitFailed, "%s is built in", ref.Name).Hint("coi profile create %s --user makes a file of that name, which replaces it", ref.Name)
}

// place is a directory a new profile or main file can go to.
func (w where) place(c *cli.Context, user, project bool) (dir string, err error) {
	h, err := c.Home()
	if err != nil {
		return "", err
	}
	if user && project {
		return "", cli.Usage("--user and --project exclude each other")
	}
	coiDir, err := filepath.Abs(filepath.Join(w.Workspace, ".coi"))
	if err != nil {
		return "", err
	}
	st, err := os.Lstat(coiDir)
	if project || !user && err == nil && st.IsDir() {
		return coiDir, nil
	}
	_, err = h.Ensure(h.Dir)
	return h.Dir, err
}

// makeFile writes a new file; one that is there already stays.
func makeFile(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), mode|0o100|(mode&0o044)>>2); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if os.IsExist(err) {
		return cli.Fail(coi.ExitFailed, "%s exists already, nothing changed", path).Hint("coi validate %s", cli.ShellQuote(path))
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if _, err = f.WriteString(text); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
