package main

import (
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
)

// chooseTool decides what the session runs.
func (b *begin) chooseTool(in *plan.Input) error {
	in.Tool = plan.Tool{Name: b.cfg.Tool.Name, Argv: []string{b.cfg.Tool.Name}}
	switch {
	case b.shell == nil:
		return nil
	case b.shell.Debug:
		in.Tool.Argv = []string{"/bin/bash", "-l"}
	case b.c.Getenv("COI_USE_DUMMY") == "1":
		in.Tool.Argv = []string{"dummy"}
	}
	b.argv = in.Tool.Argv
	return nil
}
