package main

import (
	"maps"
	"os"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/probe"
	"github.com/code-on-incus/coi/pkg/cli"
)

// tryOut adds the results of the probes. Ctrl-C ends it after the containers are gone.
func (h *health) tryOut(c *cli.Context, f *facts.Facts, into map[string]probe.Result) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	outside := func(what string) { c.Note("probe: " + what) }
	tell := outside
	if h.IsJSON() {
		tell = func(string) {} // but who is asked on the net is said in any case
	}
	maps.Copy(into, probe.Run(c, probe.Options{Facts: f, Self: self, Tell: tell, Outside: outside, Warnings: func(text string) { c.Warn(text) }}))
	return c.Err()
}

type probeAgent struct{ cli.Globals }

// probeAgentCommand is internal: it is what --probe starts in its containers.
func probeAgentCommand() cli.Command {
	return cli.Command{Verb: "probe-agent", Summary: "the inside part of coi health --probe (internal)", Grammar: &probeAgent{}}
}

// Run obeys until its input ends.
func (*probeAgent) Run(c *cli.Context) error { return agent.Serve(c.Stdin, c.Stdout) }
