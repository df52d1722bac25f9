// Package policy is what a container may do on the network, as a value: read
// from the files of ~/.coi/run, decided for one packet (Decide), and turned into
// chains and sets (Build). It touches neither kernel nor network.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/inet"
	"github.com/code-on-incus/coi/pkg/run"
)

// Modes, from loose to strict.
const (
	Open       = "open"
	Restricted = "restricted"
	Allowlist  = "allowlist"
)

// Gateway is the host side of every veth: gateway and resolver of the container.
var Gateway = inet.Gateway

// Gateway6 is the same for IPv6; Incus gives it to every routed nic.
var Gateway6 = netip.MustParseAddr("fe80::1")

// Ports is a sorted list of ranges; empty means all.
type Ports []dest.Ports

// Has reports whether the list covers port.
func (p Ports) Has(port uint16) bool {
	if len(p) == 0 {
		return true
	}
	return slices.ContainsFunc(p, func(r dest.Ports) bool { return r.Low <= port && port <= r.High })
}

func (p Ports) String() string { return dest.JoinPorts(p) }

// Entry is one allowed or denied destination and where it was written.
type Entry struct {
	Dest   dest.Dest
	Ports  Ports
	Origin string
	Live   bool // from the local file, not from the session's spec
}

// Host is a fixed name with its hole.
type Host struct {
	IP     netip.Addr
	OnHost bool // ip = "host"
	Names  []string
	Ports  Ports
	Live   bool
}

// Policy is the wanted state of one container.
type Policy struct {
	Container string
	Project   string
	SessionID string
	Veth      string
	N         int // suffix of its chains and sets
	Phase     string
	Hold      bool
	Mode      string
	V4, V6    netip.Addr
	Extra     []netip.Addr

	BlockPrivate, BlockMetadata, AllowLocal, IPv6 bool

	Allow, Deny []Entry
	Hosts       []Host
	Cap         Ports
	DNSServers  []netip.Addr
	DNSRate     int
	Refresh     int // minutes
	Connections int
	Events      run.NetEvents
	SNI         string // how TLS connections to named addresses are judged
}

// What is done with the name that a TLS client asks for.
const (
	SNIOff     = "off"
	SNILog     = "log"     // judged and told, let through
	SNIEnforce = "enforce" // refused unless it is a name that led to the address
)

// TLSPort is the port on which names of TLS connections are judged.
const TLSPort = 443

// ChecksNames reports whether TLS connections of a class of ports are judged.
func (p *Policy) ChecksNames(ports Ports) bool {
	return p.Mode == Allowlist && p.SNI != SNIOff && ports.Has(TLSPort)
}

// RefusesQUIC reports whether datagrams to the port of TLS are refused where
// names open it: the name stands encrypted in them. Clients fall back to TCP.
func (p *Policy) RefusesQUIC(ports Ports) bool { return p.SNI == SNIEnforce && p.ChecksNames(ports) }

// Error names the key of the spec that is wrong.
type Error struct{ Key, Problem string }

func (e *Error) Error() string { return e.Key + ": " + e.Problem }

func bad(key, format string, a ...any) *Error { return &Error{key, fmt.Sprintf(format, a...)} }

// FromSpec reads a spec. Whoever wrote it, what the user's own files may not open
// for a project stays closed: an untrusted literal in a closed range is refused.
func FromSpec(s *run.Net) (*Policy, error) {
	p := &Policy{
		Container: s.Container, Project: s.Project, SessionID: s.SessionID, Veth: s.Veth, Phase: s.Phase, Mode: s.Policy.Mode,
		BlockPrivate: s.Policy.BlockPrivate, BlockMetadata: s.Policy.BlockMetadata, AllowLocal: s.Policy.AllowLocal, IPv6: s.Policy.IPv6,
		DNSRate: s.Policy.DNSQPS, Refresh: s.Policy.RefreshMinutes, Connections: s.Policy.Connections, Events: s.Events,
	}
	if err := p.head(s); err != nil {
		return nil, err
	}
	ports, err := parsePorts(s.Policy.AllowedPorts)
	if err != nil {
		return nil, bad("policy.allowed_ports", "%v", err)
	}
	p.Cap = ports
	for i, d := range s.Policy.Allowed {
		e, err := entry(d)
		if err != nil {
			return nil, bad(fmt.Sprintf("policy.allowed[%d]", i), "%v", err)
		}
		p.Allow = append(p.Allow, e)
	}
	for i, h := range s.Policy.Hosts {
		host, err := ParseHost(h)
		if err != nil {
			return nil, bad(fmt.Sprintf("policy.hosts[%d]", i), "%v", err)
		}
		p.Hosts = append(p.Hosts, host)
	}
	for i, a := range s.Policy.DNSServers {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, bad(fmt.Sprintf("policy.dns_servers[%d]", i), "%q is no address", a)
		}
		p.DNSServers = append(p.DNSServers, addr)
	}
	for i, a := range s.Policy.ExtraAddresses {
		addr, err := netip.ParseAddr(a)
		if err != nil || !run.IsProbe(s.Container) {
			return nil, bad(fmt.Sprintf("policy.extra_addresses[%d]", i), "%q is refused: only a container of coi health may have more addresses", a)
		}
		p.Extra = append(p.Extra, addr)
	}
	return p, nil
}

func (p *Policy) head(s *run.Net) error {
	switch {
	case !coi.ValidContainer(s.Container):
		return bad("container", "%q is no container name", s.Container)
	case s.Veth == "" || len(s.Veth) > coi.IfNameLen || strings.ContainsAny(s.Veth, "/ \t\n\x00"):
		return bad("veth", "%q is no interface name", s.Veth)
	case !slices.Contains([]string{run.NetHold, run.NetPolicy, run.NetClosed}, s.Phase):
		return bad("phase", "%q is not hold, policy or closed", s.Phase)
	case !slices.Contains([]string{Open, Restricted, Allowlist}, s.Policy.Mode):
		return bad("policy.mode", "%q is not open, restricted or allowlist", s.Policy.Mode)
	case !slices.Contains([]string{"", SNIOff, SNILog, SNIEnforce}, s.Policy.SNI):
		return bad("policy.sni", "%q is not off, log or enforce", s.Policy.SNI)
	}
	if p.SNI = s.Policy.SNI; p.SNI == "" {
		p.SNI = SNIOff
	}
	if p.Connections == 0 {
		p.Connections = 8192
	}
	if p.DNSRate == 0 {
		p.DNSRate = 50
	}
	for key, v := range map[string][3]int{"policy.connections": {p.Connections, 1, 1000000}, "policy.dns_qps": {p.DNSRate, 1, 1000}, "policy.refresh_minutes": {p.Refresh, 0, 1440}} {
		if v[0] < v[1] || v[0] > v[2] {
			return bad(key, "%d is not within %d-%d", v[0], v[1], v[2])
		}
	}
	if p.Events.PerSecond <= 0 {
		p.Events.PerSecond = 100
	}
	if p.Events.DNSThreshold <= 0 {
		p.Events.DNSThreshold = 100
	}
	return nil
}

func parsePorts(items []string) (Ports, error) {
	var out []dest.Ports
	for _, item := range items {
		r, err := dest.ParsePorts(item)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return dest.Normal(out), nil
}

func entry(d run.Dest) (Entry, error) {
	parsed, err := dest.Parse(d.Dest)
	if err != nil {
		return Entry{}, err
	}
	ports, err := parsePorts(d.Ports)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", d.Dest, err)
	}
	if len(parsed.Ports) > 0 && len(ports) == 0 {
		ports = Ports(parsed.Ports)
	}
	parsed.Ports = ports
	if parsed.Prefix.IsValid() {
		reach, slug := dest.ReachOf(parsed.Prefix)
		if reach == dest.Hard {
			return Entry{}, fmt.Errorf("%s is in the closed range %s", d.Dest, slug)
		}
		if reach == dest.Soft && !d.Trusted {
			return Entry{}, fmt.Errorf("%s is in the range %s, which a project may not open", d.Dest, slug)
		}
	}
	if parsed.Shared && !d.Trusted {
		return Entry{}, fmt.Errorf("%s: strangers register names below it, so a project may not use it", d.Dest)
	}
	return Entry{Dest: parsed, Ports: ports, Origin: d.Origin}, nil
}

// ParseHost reads a host entry. Metadata and other hard addresses are refused;
// the host itself needs ports.
func ParseHost(h run.HostEntry) (Host, error) {
	ports, err := parsePorts(h.Ports)
	if err != nil {
		return Host{}, err
	}
	out := Host{Ports: ports}
	if h.IP == "host" || h.IP == Gateway.String() {
		out.IP, out.OnHost = Gateway, true
		if len(ports) == 0 {
			return Host{}, fmt.Errorf("ip = \"host\" needs ports")
		}
	} else {
		if out.IP, err = netip.ParseAddr(h.IP); err != nil || out.IP.Zone() != "" || out.IP.Is4In6() {
			return Host{}, fmt.Errorf("%q is no address", h.IP)
		}
		if reach, slug := dest.ReachOf(netip.PrefixFrom(out.IP, out.IP.BitLen())); reach == dest.Hard {
			return Host{}, fmt.Errorf("%s is in the closed range %s", h.IP, slug)
		}
	}
	if len(h.Names) == 0 {
		return Host{}, fmt.Errorf("%s has no name", h.IP)
	}
	for _, n := range h.Names {
		d, err := dest.Parse(n)
		if err != nil {
			return Host{}, err
		}
		if d.Name == "" || d.Wildcard || len(d.Ports) > 0 {
			return Host{}, fmt.Errorf("%q is no plain name", n)
		}
		out.Names = append(out.Names, d.Name)
	}
	return out, nil
}

// CheckFacts refuses what only the host's own networks show to be wrong: an
// untrusted literal inside a prefix that the host is connected to.
func CheckFacts(s *run.Net, f *Facts) error {
	for i, d := range s.Policy.Allowed {
		parsed, err := dest.Parse(d.Dest)
		if err != nil || d.Trusted || !parsed.Prefix.IsValid() {
			continue
		}
		for _, on := range f.Onlink {
			if on.Overlaps(parsed.Prefix) {
				return bad(fmt.Sprintf("policy.allowed[%d]", i), "%s is on a network of this host, which a project may not open", d.Dest)
			}
		}
	}
	return nil
}

// Literals are the allowed addresses with their ports: entries and host entries.
func (p *Policy) Literals() []Entry {
	var out []Entry
	for _, e := range p.Allow {
		if e.Dest.Prefix.IsValid() {
			out = append(out, e)
		}
	}
	for _, h := range p.Hosts {
		if !h.OnHost {
			out = append(out, Entry{Dest: dest.Dest{Prefix: netip.PrefixFrom(h.IP, h.IP.BitLen())}, Ports: h.Ports})
		}
	}
	return out
}

// HostPorts are the ports of the host itself that host entries open; open tells
// whether there are any.
func (p *Policy) HostPorts() (ports Ports, open bool) {
	for _, h := range p.Hosts {
		if h.OnHost {
			ports, open = append(ports, h.Ports...), true
		}
	}
	return dest.Normal(ports), open
}

// Match reports whether e covers a name in lower-case A-label form without
// final dot.
func (e *Entry) Match(name string) bool {
	if e.Dest.Name == "" {
		return false
	}
	if e.Dest.Wildcard {
		return strings.HasSuffix(name, "."+e.Dest.Name)
	}
	return name == e.Dest.Name
}

// NamePorts is the union of the ports of all entries that allow name; ok is false
// when none does or a deny entry covers the name whole.
func (p *Policy) NamePorts(name string) (ports Ports, by *Entry, ok bool) {
	for i := range p.Deny {
		if p.Deny[i].Match(name) && len(p.Deny[i].Ports) == 0 {
			return nil, &p.Deny[i], false
		}
	}
	all := false
	for i := range p.Allow {
		e := &p.Allow[i]
		if !e.Match(name) {
			continue
		}
		if by == nil {
			by = e
		}
		all = all || len(e.Ports) == 0
		ports = append(ports, e.Ports...)
	}
	if by == nil {
		return nil, nil, false
	}
	if all {
		return nil, by, true
	}
	return dest.Normal(ports), by, true
}

// Denied reports the deny entry that covers name whole.
func (p *Policy) Denied(name string) *Entry {
	for i := range p.Deny {
		if p.Deny[i].Match(name) && len(p.Deny[i].Ports) == 0 {
			return &p.Deny[i]
		}
	}
	return nil
}

// HostName finds the fixed addresses of a name.
func (p *Policy) HostName(name string) (addrs []netip.Addr) {
	for _, h := range p.Hosts {
		if slices.Contains(h.Names, name) {
			addrs = append(addrs, h.IP)
		}
	}
	return addrs
}

// ParseEntry reads an allowed or, with deny, a denied destination. Any range may
// be denied.
func ParseEntry(d run.Dest, deny bool) (Entry, error) {
	if !deny {
		return entry(d)
	}
	parsed, err := dest.Parse(d.Dest)
	if err != nil {
		return Entry{}, err
	}
	ports, err := parsePorts(d.Ports)
	if err != nil {
		return Entry{}, err
	}
	if len(ports) == 0 {
		ports = Ports(parsed.Ports)
	}
	parsed.Ports = ports
	return Entry{Dest: parsed, Ports: ports, Origin: d.Origin, Live: true}, nil
}

// AddrEntry is an entry of one address with all its ports.
func AddrEntry(a netip.Addr) Entry {
	return Entry{Dest: dest.Dest{Prefix: netip.PrefixFrom(a, a.BitLen())}, Live: true}
}

// LiveAllowed refuses an entry that would open what the configuration keeps
// closed: private ranges and the host's networks need their key.
func (p *Policy) LiveAllowed(e *Entry, f *Facts) error {
	if !e.Dest.Prefix.IsValid() {
		return nil
	}
	reach, slug := dest.ReachOf(e.Dest.Prefix)
	switch {
	case run.IsProbe(p.Container) && e.Dest.Prefix.IsSingleIP() && run.OfProbe(e.Dest.Prefix.Addr()):
		return nil // its twin answers there, and nobody else
	case reach == dest.Soft && !p.AllowLocal && !(p.Mode == Restricted && !p.BlockPrivate):
		return fmt.Errorf("%s is in the range %s, which network.block_private_networks and network.allow_local_network_access keep closed", e.Dest.Host(), slug)
	case f == nil:
		return nil
	}
	for _, list := range [][]netip.Prefix{f.Onlink, f.Pools} {
		for _, on := range list {
			if on.Overlaps(e.Dest.Prefix) && !p.AllowLocal {
				return fmt.Errorf("%s is on a network of this host, which network.allow_local_network_access keeps closed", e.Dest.Host())
			}
		}
	}
	return nil
}
