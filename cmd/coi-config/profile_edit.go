package main

import (
	"os"
	"os/exec"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

type fileMode = os.FileMode

type profileEditCmd struct {
	cli.Globals
	where
	named
}

// Run opens the editor and checks the result; the file stays as it was left.
func (e *profileEditCmd) Run(c *cli.Context) error {
	_, ref, err := e.open(c, e.where)
	if err != nil {
		return err
	}
	if err := builtIn(ref); err != nil {
		return err
	}
	if err := edit(c, ref.File); err != nil {
		return err
	}
	o, err := e.options(c)
	if err != nil {
		return err
	}
	r, err := config.ValidateFile(o, "profile", ref.File)
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		if p.Hint != "" {
			c.Warn(p.String(), p.Hint)
		} else {
			c.Warn(p.String())
		}
	}
	return nil
}

// edit runs VISUAL, EDITOR or vi. The variable may hold arguments, so it goes
// through a shell; the path goes as an argument of its own.
func edit(c *cli.Context, path string) error {
	editor := "vi"
	for _, name := range []string{"EDITOR", "VISUAL"} {
		if v := strings.TrimSpace(c.Getenv(name)); v != "" {
			editor = v
		}
	}
	cmd := exec.CommandContext(c, "sh", "-c", editor+` "$1"`, "sh", path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if err := cmd.Run(); err != nil {
		return cli.Fail(coi.ExitFailed, "editor %s: %w", editor, err).Hint("set EDITOR")
	}
	return nil
}
