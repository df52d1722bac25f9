package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

type showCmd struct {
	cli.Globals
	cli.Format
	where
	sessionFlags
	Key         []string `arg:"" optional:"" help:"Keys or tables to show; all without one."`
	Origin      bool     `help:"Say where each value comes from."`
	ShowSecrets bool     `help:"Show environment values whose name looks secret."`
}

// sessionFlags are the typed flags of a session that set keys.
type sessionFlags struct {
	Profile    string `placeholder:"NAME" help:"Profile to apply."`
	Persistent string `placeholder:"BOOL" help:"As in coi shell."`
	Tool       string `placeholder:"NAME" help:"As in coi shell."`
	Image      string `placeholder:"ALIAS" help:"As in coi shell."`
	Network    string `placeholder:"MODE" help:"As in coi shell."`
	Tmux       *bool  `negatable:"" help:"As in coi shell."`
}

func (s sessionFlags) flags() ([]config.Flag, error) {
	var out []config.Flag
	for _, f := range []struct{ key, name, value string }{
		{"tool.name", "--tool", s.Tool}, {"container.image", "--image", s.Image}, {"network.mode", "--network", s.Network},
	} {
		if f.value != "" {
			out = append(out, config.Flag{Key: f.key, Name: f.name, Value: f.value})
		}
	}
	if s.Tmux != nil {
		out = append(out, config.Flag{Key: "shell.use_tmux", Name: "--tmux", Value: *s.Tmux})
	}
	if s.Persistent != "" {
		b, err := strconv.ParseBool(s.Persistent)
		if err != nil {
			return nil, cli.Usage("--persistent: %q is neither true nor false", s.Persistent)
		}
		out = append(out, config.Flag{Key: "container.persistent", Name: "--persistent", Value: b})
	}
	return out, nil
}

// Run prints the effective configuration.
func (s *showCmd) Run(c *cli.Context) error {
	o, err := s.options(c)
	if err != nil {
		return err
	}
	o.Profile = s.Profile
	if o.Flags, err = s.flags(); err != nil {
		return err
	}
	cfg, err := config.Load(o)
	if err != nil {
		return err
	}
	entries, unknown, nearest := config.Select(cfg.Entries(), s.Key)
	if unknown != "" {
		e := cli.Fail(coi.ExitUsage, "unknown key %q", unknown)
		if nearest != "" {
			return e.Hint("did you mean %s?", nearest)
		}
		return e
	}
	if !s.ShowSecrets {
		for i := range entries {
			entries[i] = entries[i].Masked()
		}
	}
	cfg.Tell(c)
	if s.IsJSON() {
		return c.PrintJSON(document(cfg, entries))
	}
	_, err = io.WriteString(c.Stdout, s.text(cfg, entries))
	return err
}

func (s *showCmd) text(cfg *config.Config, entries []config.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		line := "# " + e.Key + " is not set"
		if e.Value != nil {
			line = e.Key + " = " + config.Format(e.Value)
		}
		b.WriteString(cli.Escape(line))
		if s.Origin {
			b.WriteString("  # " + cli.Escape(e.Origin.Shorten(cfg.Home).String()))
		}
		b.WriteByte('\n')
	}
	if len(s.Key) > 0 {
		return b.String()
	}
	return b.String() + waiting(cfg)
}

// waiting are the sections on what the project did not get.
func waiting(cfg *config.Config) string {
	var b strings.Builder
	if len(cfg.Refused) > 0 {
		b.WriteString("\n# refused\n")
	}
	for _, r := range cfg.Refused {
		fmt.Fprintf(&b, "# %s\n", cli.Escape(fmt.Sprintf("%s = %s  %s:%d  %s", r.Key, config.Format(r.Value), cfg.Home.Shorten(r.File), r.Line, r.Reason)))
	}
	first := true
	for _, g := range cfg.Gated {
		if g.Approved {
			continue
		}
		if first {
			b.WriteString("\n# waiting for coi trust\n")
			first = false
		}
		fmt.Fprintf(&b, "# %s\n", cli.Escape(fmt.Sprintf("%s  %s:%d  %s", g.String(), cfg.Home.Shorten(g.File), g.Line, g.Why)))
	}
	return b.String()
}

type shown struct {
	SchemaVersion int            `json:"schema_version"`
	Keys          []config.Entry `json:"keys"`
	Refused       []refused      `json:"refused"`
	Gated         []gated        `json:"gated"`
}

type refused struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

type gated struct {
	Item     string `json:"item"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Approved bool   `json:"approved"`
}

func document(cfg *config.Config, entries []config.Entry) shown {
	d := shown{1, entries, []refused{}, []gated{}}
	if entries == nil {
		d.Keys = []config.Entry{}
	}
	for _, r := range cfg.Refused {
		d.Refused = append(d.Refused, refused(r))
	}
	for _, g := range cfg.Gated {
		d.Gated = append(d.Gated, gated{g.String(), g.File, g.Line, g.Approved})
	}
	return d
}

// shorten is a path for people.
func shorten(h home.Home, path string) string { return cli.Escape(h.Shorten(path)) }
