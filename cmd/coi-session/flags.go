package main

import (
	"github.com/code-on-incus/coi/pkg/cli"
)

// workspaceFlag is the option of every verb that resolves a container or a
// configuration.
type workspaceFlag struct {
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace directory."`
}

// sessionFlags are the options of the verbs that start a session.
type sessionFlags struct {
	workspaceFlag
	Profile    string `placeholder:"NAME" help:"Profile for this command."`
	Slot       int    `default:"0" placeholder:"N" help:"Slot 1-10; 0 takes the lowest free one."`
	Persistent *bool  `placeholder:"BOOL" help:"Keep the container after the session."`
	Tool       string `placeholder:"NAME" help:"Tool to start."`
	Image      string `placeholder:"ALIAS" help:"Image to start from."`
	Network    string `enum:",restricted,allowlist,open" default:"" placeholder:"MODE" help:"Network mode: restricted, allowlist or open."`
	cli.Globals
	cli.Consent
}

func (f *sessionFlags) check() error {
	if f.Slot < 0 || f.Slot > 10 {
		return cli.Usage("slot %d is outside 0-10", f.Slot)
	}
	return nil
}
