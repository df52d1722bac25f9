package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

type validateCmd struct {
	cli.Globals
	cli.Format
	where
	Args []string `arg:"" optional:"" name:"kind-or-path" help:"config or profile, then a file; nothing checks every file that would be loaded here."`
}

func validateCommand() cli.Command {
	return cli.Command{
		Verb: "validate", Summary: "check configuration files", Grammar: &validateCmd{},
		Detail:   "Without a path every file that would be loaded here is checked, each profile with its parents. The kind of a file is guessed from its place.",
		Examples: []string{"coi validate", "coi validate ~/.coi/config.toml", "coi validate profile .coi/profiles/research/config.toml --json"},
		Exits:    []string{"1  invalid", "5  the file cannot be read"},
	}
}

type report struct {
	SchemaVersion int       `json:"schema_version"`
	Valid         bool      `json:"valid"`
	Errors        []finding `json:"errors"`
	Notes         []string  `json:"notes"`
}

type finding struct {
	Path       string `json:"path"` // of the key
	Message    string `json:"message"`
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Run checks and reports; exit 1 when anything is invalid.
func (v *validateCmd) Run(c *cli.Context) error {
	kind, path, err := v.split()
	if err != nil {
		return err
	}
	o, err := v.options(c)
	if err != nil {
		return err
	}
	var r config.Report
	if path == "" {
		r = config.Validate(o)
	} else if r, err = config.ValidateFile(o, kind, path); err != nil {
		return err
	}
	if v.IsJSON() {
		if err := c.PrintJSON(asReport(r)); err != nil {
			return err
		}
	} else {
		v.print(c, r)
	}
	if len(r.Problems) > 0 {
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}

func (v *validateCmd) split() (kind, path string, err error) {
	args := v.Args
	if len(args) > 0 && (args[0] == "config" || args[0] == "profile") {
		kind, args = args[0], args[1:]
	}
	if len(args) > 1 {
		return "", "", cli.Usage("one file at a time, not %d", len(args))
	}
	if len(args) == 0 {
		return kind, "", nil
	}
	path = args[0]
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "config.toml")
	}
	return kind, path, nil
}

func asReport(r config.Report) report {
	out := report{SchemaVersion: 1, Valid: len(r.Problems) == 0, Errors: []finding{}, Notes: []string{}}
	for _, p := range r.Problems {
		out.Errors = append(out.Errors, finding{p.Key, p.Problem, p.File, p.Line, p.Column, p.Hint})
	}
	for _, n := range r.Notes {
		out.Notes = append(out.Notes, n.Text)
	}
	return out
}

func (v *validateCmd) print(c *cli.Context, r config.Report) {
	for _, n := range r.Notes {
		c.Note(n.Text, n.Hints...)
	}
	for _, p := range r.Problems {
		_, _ = fmt.Fprintln(c.Stdout, cli.Escape(p.String()))
		if p.Hint != "" {
			_, _ = fmt.Fprintln(c.Stdout, "  hint: "+cli.Escape(p.Hint))
		}
	}
	if len(r.Problems) == 0 {
		h, _ := c.Home()
		for _, f := range r.Files {
			_, _ = fmt.Fprintln(c.Stdout, shorten(h, f)+": ok")
		}
		if len(r.Files) == 0 {
			_, _ = fmt.Fprintln(c.Stderr, "no configuration files; the built-in values hold")
		}
	}
}
