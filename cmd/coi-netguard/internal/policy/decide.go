package policy

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/run"
)

// Facts are what the host's own network adds to a policy.
type Facts struct {
	Local   []netip.Addr   // addresses of the host
	Bcast   []netip.Addr   // broadcast addresses of its networks
	Onlink  []netip.Prefix // networks it is connected to, veths of coi apart
	Pools   []netip.Prefix // addresses of coi containers
	Uplinks []string       // interfaces with a default route
}

// Packet is the first packet of a flow that a container sends.
type Packet struct {
	Src, Dst netip.Addr
	Proto    uint8
	Port     uint16 // destination, for protocols that have ports
	Type     uint8  // of ICMP
	Target   netip.Addr
}

// Verdicts.
const (
	Pass = "pass" // forwarded, or given to the guard's DNS
	Deny = "deny" // refused with an answer
	Drop = "drop" // refused without one
)

// Decision is a verdict and the rule that gave it.
type Decision struct{ Verdict, Rule string }

// Index finds the ports an address is open for because of an answered name.
type Index func(netip.Addr) (Ports, bool)

// Decide gives the verdict for the first packet of a flow, in the order of the
// kernel's rules. Limits on rates and numbers are not part of it.
func Decide(p *Policy, f *Facts, dyn Index, k Packet) Decision {
	if d, done := p.before(f, k); done {
		return d
	}
	if slices.Contains(f.Local, k.Dst) || k.Dst.Is4() && k.Dst.IsLoopback() || k.Dst == netip.IPv6Loopback() {
		return p.toHost(k)
	}
	if within(f.Pools, k.Dst) {
		return Decision{Deny, "sibling"}
	}
	for _, e := range p.Deny {
		if e.Dest.Prefix.IsValid() && e.Dest.Prefix.Contains(k.Dst) && (len(e.Ports) == 0 || ported(k.Proto) && e.Ports.Has(k.Port)) {
			return Decision{Deny, "user.deny"}
		}
	}
	if p.Mode != Open {
		if d, done := p.ranges(f, k); done {
			return d
		}
	}
	if p.Mode == Restricted && ported(k.Proto) {
		if k.Port == 853 {
			return Decision{Deny, "dot"}
		}
		if k.Port == 443 && slices.Contains(DoH, k.Dst) {
			return Decision{Deny, "doh"}
		}
	}
	if ported(k.Proto) && !p.Cap.Has(k.Port) {
		return Decision{Deny, "port.cap"}
	}
	if badICMP(k) {
		return Decision{Deny, "icmp"}
	}
	if p.Mode != Allowlist {
		return Decision{Pass, "default." + p.Mode}
	}
	ports, known := dyn(k.Dst)
	switch {
	case !known && icmp(k) && !echo(k):
		return Decision{Deny, "icmp"}
	case !known:
		return Decision{Deny, "allowlist.default"}
	case k.Proto == unix.IPPROTO_UDP && k.Port == TLSPort && p.RefusesQUIC(ports):
		return Decision{Deny, "sni.quic"}
	case echo(k), ported(k.Proto) && ports.Has(k.Port):
		return Decision{Pass, "allow.name"}
	case icmp(k):
		return Decision{Deny, "icmp"}
	}
	return Decision{Deny, "port.class"}
}

// Held reports whether everything of the container is dropped.
func (p *Policy) Held() bool { return p.Hold || p.Phase != run.NetPolicy }

func (p *Policy) before(f *Facts, k Packet) (Decision, bool) {
	nd := k.Proto == unix.IPPROTO_ICMPV6 && (k.Type >= 133 && k.Type <= 136) && k.Type != 134
	switch {
	case k.Dst.Is6() && !p.IPv6:
		return Decision{Drop, "v6.off"}, true
	case nd && k.Type == 136 && k.Target != p.V6:
		return Decision{Drop, "spoof.nd"}, true
	case nd && (k.Src.IsLinkLocalUnicast() || k.Src.IsUnspecified() || k.Src == p.V6):
		return Decision{Pass, "nd"}, true
	case k.Src != p.V4 && k.Src != p.V6 && !slices.Contains(p.Extra, k.Src):
		return Decision{Drop, "spoof.src"}, true
	case p.Held():
		return Decision{Drop, "hold"}, true
	case noFlow(k):
		return Decision{Drop, "ct.invalid"}, true
	case ported(k.Proto) && k.Port == 53:
		return Decision{Pass, "dns"}, true
	// The kernel counts 0.0.0.0 as broadcast (net/ipv4/fib_frontend.c).
	case k.Dst.IsMulticast(), k.Dst == netip.IPv4Unspecified(), k.Dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}), slices.Contains(f.Bcast, k.Dst):
		return Decision{Drop, "bcast"}, true
	}
	return Decision{}, false
}

func (p *Policy) toHost(k Packet) Decision {
	if k.Dst == Gateway || k.Dst == Gateway6 {
		if echo(k) {
			return Decision{Pass, "host.echo"}
		}
		ports, open := p.HostPorts()
		if open && ported(k.Proto) && ports.Has(k.Port) {
			return Decision{Pass, "host.port"}
		}
	}
	return Decision{Deny, "host.service"}
}

// ranges is what restricted and allowlist decide by address alone.
func (p *Policy) ranges(f *Facts, k Packet) (Decision, bool) {
	slug, reach := rangeOf(k.Dst)
	if p.Mode == Restricted && !p.BlockMetadata && IsMetadata(k.Dst) {
		return p.local(k, "metadata.allow"), true
	}
	if reach == dest.Hard {
		return Decision{Deny, "block." + slug}, true
	}
	for _, e := range p.Literals() {
		if e.Dest.Prefix.Contains(k.Dst) && (echo(k) || ported(k.Proto) && e.Ports.Has(k.Port)) {
			return Decision{Pass, "allow.literal"}, true
		}
	}
	if reach == dest.Soft {
		if p.AllowLocal || p.Mode == Restricted && !p.BlockPrivate {
			return p.local(k, "local.allow"), true
		}
		return Decision{Deny, "block." + slug}, true
	}
	if within(f.Onlink, k.Dst) {
		if p.AllowLocal {
			return p.local(k, "local.allow"), true
		}
		return Decision{Deny, "block.onlink"}, true
	}
	return Decision{}, false
}

// local passes what the local network keys open: ports as the cap says, and in
// allowlist mode nothing but TCP, UDP and echo.
func (p *Policy) local(k Packet, rule string) Decision {
	switch {
	case ported(k.Proto) && !p.Cap.Has(k.Port):
		return Decision{Deny, "port.cap"}
	case badICMP(k), icmp(k) && p.Mode == Allowlist && !echo(k):
		return Decision{Deny, "icmp"}
	case p.Mode == Allowlist && !ported(k.Proto) && !icmp(k):
		return Decision{Deny, "allowlist.default"}
	}
	return Decision{Pass, rule}
}

// noFlow are ICMP types that can begin no flow: the kernel's connection
// tracking calls them invalid, unless they belong to a flow that is there.
func noFlow(k Packet) bool {
	switch k.Proto {
	case unix.IPPROTO_ICMP:
		return !slices.Contains([]uint8{8, 13, 15, 17}, k.Type)
	case unix.IPPROTO_ICMPV6:
		return !slices.Contains([]uint8{128, 139, 130, 131, 132, 133, 134, 135, 136, 143}, k.Type)
	}
	return false
}

func ported(proto uint8) bool { return proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP }

func icmp(k Packet) bool { return k.Proto == unix.IPPROTO_ICMP || k.Proto == unix.IPPROTO_ICMPV6 }

func echo(k Packet) bool {
	return k.Proto == unix.IPPROTO_ICMP && k.Type == 8 && k.Dst.Is4() || k.Proto == unix.IPPROTO_ICMPV6 && k.Type == 128 && k.Dst.Is6()
}

// badICMP4 and badICMP6 are the types no mode lets out: redirect, timestamp,
// address mask, router advertisement and solicitation.
var (
	badICMP4 = []uint8{5, 9, 10, 13, 14, 17, 18}
	badICMP6 = []uint8{133, 134, 137}
)

func badICMP(k Packet) bool {
	return k.Proto == unix.IPPROTO_ICMP && slices.Contains(badICMP4, k.Type) || k.Proto == unix.IPPROTO_ICMPV6 && slices.Contains(badICMP6, k.Type)
}

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Key is the configuration key behind a rule, empty when none is.
func Key(rule string) string {
	if rest, ok := strings.CutPrefix(rule, "block."); ok {
		switch rest {
		case "metadata", "link-local":
			return "network.block_metadata_endpoint"
		case "private", "cgnat", "benchmark":
			return "network.block_private_networks"
		case "onlink":
			return "network.allow_local_network_access"
		}
		return "network.mode"
	}
	return map[string]string{
		"v6.off": "network.ipv6", "port.cap": "network.allowed_ports", "port.class": "network.allowed_domains", "allowlist.default": "network.allowed_domains",
		"allow.name": "network.allowed_domains", "allow.literal": "network.allowed_domains", "conn.limit": "network.connections", "host.port": "network.hosts", "host.service": "network.hosts",
		"local.allow": "network.allow_local_network_access", "metadata.allow": "network.block_metadata_endpoint", "dot": "network.mode", "doh": "network.mode",
		"default.open": "network.mode", "default.restricted": "network.mode", "dns.rate": "network.dns_queries_per_second",
		"sni.quic": "network.sni", "sni.mismatch": "network.sni", "sni.encrypted": "network.sni", "sni.not-tls": "network.sni", "sni.limit": "network.sni",
	}[rule]
}
