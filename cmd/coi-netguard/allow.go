package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

type entryArgs struct {
	Container string        `arg:"" help:"Container or alias."`
	Dests     []string      `arg:"" name:"dest" help:"Destinations: api.example.com:443, *.example.com, 192.0.2.7:22."`
	For       time.Duration `placeholder:"DUR" help:"How long (10m, 1h); default: until the container ends."`
	Remove    bool          `help:"Take the entry back."`
}

type allowCmd struct{ entryArgs }

type denyCmd struct{ entryArgs }

func (c *allowCmd) Run(x *cli.Context) error { return c.change(x, false) }

func (c *denyCmd) Run(x *cli.Context) error { return c.change(x, true) }

// live reads the destinations; a wrong one is exit 2 and says what works.
func (c *entryArgs) live() ([]guard.Live, error) {
	if c.For < 0 {
		return nil, cli.Usage("--for %s: is in the past", c.For)
	}
	var out []guard.Live
	for _, text := range c.Dests {
		d, err := dest.Parse(text)
		if err != nil {
			e := cli.Usage("%v", err)
			var de *dest.Error
			if errors.As(err, &de) && de.Hint != "" {
				e.Hints = append(e.Hints, de.Hint)
			}
			return nil, e
		}
		l := guard.Live{Dest: d.Host()}
		for _, p := range d.Ports {
			l.Ports = append(l.Ports, p.String())
		}
		if c.For > 0 {
			until := time.Now().Add(c.For).UTC()
			l.Until = &until
		}
		out = append(out, l)
	}
	return out, nil
}

func (c *entryArgs) change(x *cli.Context, deny bool) error {
	entries, err := c.live()
	if err != nil {
		return err
	}
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	if !deny && !c.Remove {
		if err := mayAllow(f, entries); err != nil {
			return err
		}
	}
	took, err := f.Change(x, func(l *guard.Local) error {
		list := &l.Allow
		if deny {
			list = &l.Deny
		}
		return edit(list, entries, c.Remove)
	})
	if err != nil {
		return err
	}
	verb := map[[2]bool]string{{false, false}: "allowed", {false, true}: "no longer allowed", {true, false}: "denied", {true, true}: "no longer denied"}[[2]bool{deny, c.Remove}]
	return c.tell(x, f, entries, verb, took, deny)
}

// mayAllow refuses what the user's own configuration keeps closed.
func mayAllow(f *client.Files, entries []guard.Live) error {
	p, err := f.Policy()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := guard.LiveEntry(e, p, f.View.Facts); err != nil {
			hint := "network.block_metadata_endpoint, network.block_private_networks and network.allow_local_network_access decide this; see coi config show network"
			return cli.Usage("%v", err).Hint("%s", hint)
		}
	}
	return nil
}

func sameEntry(a, b guard.Live) bool {
	return a.Dest == b.Dest && fmt.Sprint(a.Ports) == fmt.Sprint(b.Ports)
}

func edit(list *[]guard.Live, entries []guard.Live, remove bool) error {
	for _, e := range entries {
		var kept []guard.Live
		found := false
		for _, old := range *list {
			if sameEntry(old, e) || remove && old.Dest == e.Dest && len(e.Ports) == 0 {
				found = true
				continue
			}
			if old.Until == nil || time.Now().Before(*old.Until) {
				kept = append(kept, old)
			}
		}
		if remove && !found {
			return cli.Fail(coi.ExitFailed, "%s is not in the list", e.Dest)
		}
		if !remove {
			kept = append(kept, e)
		}
		*list = kept
	}
	return nil
}

func (c *entryArgs) tell(x *cli.Context, f *client.Files, entries []guard.Live, verb string, took time.Duration, deny bool) error {
	rule, action := "policy.allow", audit.Allowed
	if deny != c.Remove {
		rule, action = "policy.deny", audit.Blocked
	}
	span := ""
	if c.For > 0 {
		span = " for " + c.For.String()
	}
	for _, e := range entries {
		to := destText(e)
		_, _ = fmt.Fprintf(x.Stdout, "%s: %s %s%s (%d ms)\n", cli.Escape(f.Name), verb, cli.Escape(to), span, took.Milliseconds())
		if err := f.Record(audit.Record{Rule: rule, Action: action, Title: verb + " by user: " + to + span, Name: e.Dest}); err != nil {
			x.Warn("in force, but not in the audit trail: " + err.Error())
		}
	}
	if f.Spec.Policy.Mode != policy.Allowlist && !deny && !c.Remove {
		x.Note("in mode " + f.Spec.Policy.Mode + " public destinations are open without this")
	}
	return nil
}

func destText(e guard.Live) string {
	entry, err := policy.ParseEntry(run.Dest{Dest: e.Dest, Ports: e.Ports}, true)
	if err != nil {
		return e.Dest
	}
	return entry.Dest.String()
}
