package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

type learnCmd struct {
	Container string `arg:"" help:"Container or alias."`
	Check     string `placeholder:"FILE" type:"path" help:"Say what of it the [network] section of FILE would have refused."`
}

func (c *learnCmd) Run(x *cli.Context) error {
	f, err := client.Open(x, c.Container)
	if err != nil {
		return err
	}
	if len(f.View.Used) == 0 {
		_, _ = fmt.Fprintln(x.Stderr, "no flows have been seen yet")
	}
	if c.Check == "" {
		return printLearned(x, f)
	}
	return c.check(x, f)
}

// learned are the entries that cover the flows: a name where one led there,
// else the address.
func learned(used []guard.Used) []string {
	ports := map[string][]dest.Ports{}
	for _, u := range used {
		host := u.Addr
		if len(u.Names) > 0 {
			host = u.Names[0]
		}
		if u.Port == 0 {
			if _, ok := ports[host]; !ok {
				ports[host] = nil
			}
			continue
		}
		ports[host] = append(ports[host], dest.Ports{Low: u.Port, High: u.Port})
	}
	var out []string
	for _, host := range slices.Sorted(maps.Keys(ports)) {
		list := dest.Normal(ports[host])
		entry := host
		if len(list) > 0 {
			if strings.Contains(host, ":") {
				entry = "[" + host + "]"
			}
			entry += ":" + dest.JoinPorts(list)
		}
		out = append(out, entry)
	}
	return out
}

func printLearned(x *cli.Context, f *client.Files) error {
	var b strings.Builder
	b.WriteString("[network]\nmode = \"allowlist\"\nallowed_domains = [\n")
	for _, e := range learned(f.View.Used) {
		fmt.Fprintf(&b, "  %s,\n", strconv.Quote(cli.Escape(e)))
	}
	b.WriteString("]\n")
	_, err := fmt.Fprint(x.Stdout, b.String())
	return err
}

// networkSection is what of a configuration file decides packets.
type networkSection struct {
	Network struct {
		Mode           string   `toml:"mode"`
		BlockPrivate   *bool    `toml:"block_private_networks"`
		BlockMetadata  *bool    `toml:"block_metadata_endpoint"`
		AllowLocal     bool     `toml:"allow_local_network_access"`
		IPv6           bool     `toml:"ipv6"`
		AllowedDomains []string `toml:"allowed_domains"`
		AllowedPorts   []any    `toml:"allowed_ports"`
		Hosts          []struct {
			IP        string   `toml:"ip"`
			Hostnames []string `toml:"hostnames"`
			Ports     []any    `toml:"ports"`
		} `toml:"hosts"`
	} `toml:"network"`
}

func (c *learnCmd) check(x *cli.Context, f *client.Files) error {
	p, err := readPolicy(c.Check, f)
	if err != nil {
		return err
	}
	facts := f.View.Facts
	if facts == nil {
		facts = &policy.Facts{}
	}
	refused := 0
	for _, u := range f.View.Used {
		a, err := netip.ParseAddr(u.Addr)
		if err != nil {
			continue
		}
		t := client.Target{Port: u.Port, Proto: u.Proto, Addr: a}
		if t.Proto == "icmp6" {
			t.Proto = "icmp"
		}
		d := policy.Decide(p, facts, namesOf(p, u), t.Packet(p, a))
		if d.Verdict == policy.Pass {
			continue
		}
		refused++
		name := u.Addr
		if len(u.Names) > 0 {
			name = u.Names[0] + " (" + u.Addr + ")"
		}
		_, _ = fmt.Fprintf(x.Stdout, "%s port %d %s: refused by %s, used %d times\n", cli.Escape(name), u.Port, cli.Escape(u.Proto), d.Rule, u.Flows)
	}
	if refused > 0 {
		return cli.Exit(coi.ExitFailed)
	}
	x.Note("nothing that was used would be refused")
	return nil
}

// namesOf opens the address for the names it was reached by, as answers would.
func namesOf(p *policy.Policy, u guard.Used) policy.Index {
	return func(netip.Addr) (policy.Ports, bool) {
		for _, n := range u.Names {
			if ports, _, ok := p.NamePorts(n); ok {
				return ports, true
			}
		}
		return nil, false
	}
}

func readPolicy(path string, f *client.Files) (*policy.Policy, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := home.ReadCapped(file, 1<<20)
	if err != nil {
		return nil, err
	}
	var s networkSection
	if err := toml.Unmarshal(data, &s); err != nil {
		return nil, cli.Fail(coi.ExitConfig, "%s: %v", path, err)
	}
	n := s.Network
	spec := f.Spec
	spec.Phase = run.NetPolicy
	spec.Policy = run.Policy{Mode: n.Mode, BlockPrivate: n.BlockPrivate == nil || *n.BlockPrivate, BlockMetadata: n.BlockMetadata == nil || *n.BlockMetadata, AllowLocal: n.AllowLocal, IPv6: n.IPv6, AllowedPorts: words(n.AllowedPorts)}
	if n.Mode == "" {
		spec.Policy.Mode = policy.Restricted
	}
	for _, d := range n.AllowedDomains {
		parsed, err := dest.Parse(d)
		if err != nil {
			return nil, cli.Fail(coi.ExitConfig, "%s: network.allowed_domains: %v", path, err)
		}
		one := run.Dest{Dest: parsed.Host(), Trusted: true, Origin: path}
		for _, r := range parsed.Ports {
			one.Ports = append(one.Ports, r.String())
		}
		spec.Policy.Allowed = append(spec.Policy.Allowed, one)
	}
	for _, h := range n.Hosts {
		spec.Policy.Hosts = append(spec.Policy.Hosts, run.HostEntry{IP: h.IP, Names: h.Hostnames, Ports: words(h.Ports)})
	}
	p, err := policy.FromSpec(&spec)
	if err != nil {
		return nil, cli.Fail(coi.ExitConfig, "%s: %v", path, err)
	}
	if a, err := netip.ParseAddr(f.Status.IPv4); err == nil {
		p.V4 = a
	}
	if a, err := netip.ParseAddr(f.Status.IPv6); err == nil {
		p.V6 = a
	}
	return p, nil
}

func words(list []any) (out []string) {
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
