package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

type hostsCmd struct {
	List   hostsList   `cmd:"" help:"Print the fixed names of a container."`
	Add    hostsAdd    `cmd:"" help:"Add a fixed name with its hole."`
	Remove hostsRemove `cmd:"" help:"Remove a name and its hole."`
}

type hostsList struct {
	cli.Format
	Container string `arg:"" help:"Container or alias."`
}

type hostDoc struct {
	IP        string   `json:"ip"`
	Hostnames []string `json:"hostnames"`
	Ports     []string `json:"ports"`
}

func (c *hostsList) Run(x *cli.Context) error {
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	list := []hostDoc{}
	for _, h := range f.Spec.Policy.Hosts {
		list = append(list, hostDoc{h.IP, h.Names, orEmpty(h.Ports)})
	}
	for _, h := range f.Local.Hosts {
		list = append(list, hostDoc{h.IP, h.Names, orEmpty(h.Ports)})
	}
	if c.IsJSON() {
		return x.PrintJSON(list)
	}
	if len(list) == 0 {
		_, _ = fmt.Fprintln(x.Stderr, "no host entries")
	}
	for _, h := range list {
		_, _ = fmt.Fprintf(x.Stdout, "%s\t%s\t%s\n", cli.Escape(h.IP), cli.Escape(strings.Join(h.Hostnames, " ")), cli.Escape(strings.Join(h.Ports, ",")))
	}
	return nil
}

type hostsAdd struct {
	Container string   `arg:"" help:"Container or alias."`
	IP        string   `arg:"" help:"Address, or host for the host itself."`
	Names     []string `arg:"" name:"name" help:"Names that answer with it."`
	Ports     string   `placeholder:"LIST" help:"Ports of the hole, 5432 or 80,8000-8100; default: all."`
}

func (c *hostsAdd) Run(x *cli.Context) error {
	entry := run.HostEntry{IP: c.IP, Names: c.Names}
	if c.Ports != "" {
		entry.Ports = strings.Split(c.Ports, ",")
	}
	if _, err := policy.ParseHost(entry); err != nil {
		return cli.Usage("%v", err)
	}
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	took, err := f.Change(x, func(l *guard.Local) error {
		l.Hosts = append(dropNames(l.Hosts, c.Names), guard.LiveHost{HostEntry: entry})
		return nil
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is %s", strings.Join(c.Names, " "), c.IP)
	_, _ = fmt.Fprintf(x.Stdout, "%s: %s (%d ms)\n", cli.Escape(f.Name), cli.Escape(text), took.Milliseconds())
	if err := f.Record(audit.Record{Rule: "policy.hosts", Action: audit.Allowed, Title: "host entry added by user: " + text, Name: c.Names[0]}); err != nil {
		x.Warn("in force, but not in the audit trail: " + err.Error())
	}
	return nil
}

type hostsRemove struct {
	Container string   `arg:"" help:"Container or alias."`
	Names     []string `arg:"" name:"name" help:"Names to remove; the hole goes with the last one."`
}

func (c *hostsRemove) Run(x *cli.Context) error {
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	took, err := f.Change(x, func(l *guard.Local) error {
		for _, n := range c.Names {
			if !slices.ContainsFunc(l.Hosts, func(h guard.LiveHost) bool { return slices.Contains(h.Names, n) }) {
				return cli.Fail(coi.ExitFailed, "%s was not added by coi hosts", n).Hint("entries of configuration files are removed there: network.hosts")
			}
		}
		l.Hosts = dropNames(l.Hosts, c.Names)
		return nil
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(x.Stdout, "%s: removed %s (%d ms)\n", cli.Escape(f.Name), cli.Escape(strings.Join(c.Names, " ")), took.Milliseconds())
	if err := f.Record(audit.Record{Rule: "policy.hosts", Action: audit.Blocked, Title: "host entry removed by user: " + strings.Join(c.Names, " "), Name: c.Names[0]}); err != nil {
		x.Warn("in force, but not in the audit trail: " + err.Error())
	}
	return nil
}

// dropNames takes names out of the entries; one that has none left goes.
func dropNames(list []guard.LiveHost, names []string) (out []guard.LiveHost) {
	for _, h := range list {
		h.Names = slices.DeleteFunc(slices.Clone(h.Names), func(n string) bool { return slices.Contains(names, n) })
		if len(h.Names) > 0 {
			out = append(out, h)
		}
	}
	return out
}
