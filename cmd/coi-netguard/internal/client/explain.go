package client

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/dest"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

func addr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// Target is a destination as it is typed: DEST[:PORT][/udp].
type Target struct {
	Name  string
	Addr  netip.Addr
	Port  uint16
	Proto string // tcp, udp, icmp
}

// ParseTarget reads a target. Without a port it is 443.
func ParseTarget(s string) (Target, error) {
	t := Target{Port: 443, Proto: "tcp"}
	rest := s
	for _, p := range []string{"tcp", "udp", "icmp"} {
		if r, ok := strings.CutSuffix(rest, "/"+p); ok {
			rest, t.Proto = r, p
		}
	}
	d, err := dest.Parse(rest)
	if err != nil {
		// Addresses that no entry may name can still be asked about.
		if ap, aerr := netip.ParseAddrPort(rest); aerr == nil {
			t.Addr, t.Port = ap.Addr(), ap.Port()
			return t, nil
		}
		if a, aerr := netip.ParseAddr(rest); aerr == nil {
			t.Addr = a
			return t, nil
		}
		return t, cli.Usage("%v", err).Hint("write api.example.com:443, 192.0.2.7:22 or 192.0.2.7:53/udp")
	}
	if d.Wildcard || d.Prefix.IsValid() && !d.Prefix.IsSingleIP() {
		return t, cli.Usage("%q: one name or one address can be explained", s)
	}
	t.Name = d.Name
	if d.Prefix.IsValid() {
		t.Addr = d.Prefix.Addr()
	}
	if len(d.Ports) > 0 {
		t.Port = d.Ports[0].Low
	}
	return t, nil
}

// Packet is the first packet of a flow to a.
func (t Target) Packet(p *policy.Policy, a netip.Addr) policy.Packet {
	k := policy.Packet{Src: p.V4, Dst: a, Port: t.Port, Proto: unix.IPPROTO_TCP}
	if a.Is6() {
		k.Src = p.V6
	}
	switch t.Proto {
	case "udp":
		k.Proto = unix.IPPROTO_UDP
	case "icmp":
		k.Proto, k.Type, k.Port = unix.IPPROTO_ICMP, 8, 0
		if a.Is6() {
			k.Proto, k.Type = unix.IPPROTO_ICMPV6, 128
		}
	}
	return k
}

// Answer is what explain says about one address, or about a name that has none yet.
type Answer struct {
	Dest    string   `json:"dest"`
	Address string   `json:"address,omitempty"`
	Port    uint16   `json:"port,omitempty"`
	Proto   string   `json:"proto"`
	Verdict string   `json:"verdict"` // pass deny drop
	Allowed bool     `json:"allowed"`
	Rule    string   `json:"rule"`
	Text    []string `json:"text"` // of the rule, as last read from the kernel
	Hits    int      `json:"hits"`
	Names   []string `json:"names"`
	Note    string   `json:"note,omitempty"`
	Key     string   `json:"key,omitempty"`
	Origin  string   `json:"origin,omitempty"`
	Change  []string `json:"change"` // commands that would change it
}

// Explain decides a target as the kernel would, for each address it has.
func (f *Files) Explain(t Target) ([]Answer, error) {
	p, err := f.Policy()
	if err != nil {
		return nil, err
	}
	facts := f.View.Facts
	if facts == nil {
		facts = &policy.Facts{}
	}
	if t.Addr.IsValid() {
		return []Answer{f.answer(p, facts, t, t.Addr)}, nil
	}
	if addrs := p.HostName(t.Name); len(addrs) > 0 {
		return f.each(p, facts, t, addrs, "a fixed name of network.hosts"), nil
	}
	var addrs []netip.Addr
	for _, n := range f.View.Names {
		if slices.Contains(n.Names, t.Name) && (n.Open || p.Mode != policy.Allowlist) {
			addrs = append(addrs, addr(n.Addr))
		}
	}
	if len(addrs) > 0 && p.Denied(t.Name) == nil {
		return f.each(p, facts, t, addrs, ""), nil
	}
	return []Answer{f.unasked(p, t)}, nil
}

func (f *Files) each(p *policy.Policy, facts *policy.Facts, t Target, addrs []netip.Addr, note string) (out []Answer) {
	for _, a := range addrs {
		one := f.answer(p, facts, t, a)
		one.Note = note
		out = append(out, one)
	}
	return out
}

// Index finds what answered names have opened now.
func (f *Files) Index() policy.Index {
	now := time.Now()
	return func(a netip.Addr) (policy.Ports, bool) {
		for _, n := range f.View.Names {
			if n.Addr != a.String() || !now.Before(n.Expires) {
				continue
			}
			var ports policy.Ports
			for _, item := range n.Ports {
				if r, err := dest.ParsePorts(item); err == nil {
					ports = append(ports, r)
				}
			}
			return ports, true
		}
		return nil, false
	}
}

func (f *Files) answer(p *policy.Policy, facts *policy.Facts, t Target, a netip.Addr) Answer {
	d := policy.Decide(p, facts, f.Index(), t.Packet(p, a))
	out := Answer{Dest: t.Name, Address: a.String(), Port: t.Port, Proto: t.Proto, Verdict: d.Verdict, Allowed: d.Verdict == policy.Pass, Rule: d.Rule, Names: []string{}, Change: []string{}}
	if out.Dest == "" {
		out.Dest = a.String()
	}
	for _, n := range f.View.Names {
		if n.Addr == out.Address {
			out.Names = n.Names
		}
	}
	f.behind(p, &out, t, a)
	return out
}

// unasked is a name that the container has not asked for.
func (f *Files) unasked(p *policy.Policy, t Target) Answer {
	out := Answer{Dest: t.Name, Port: t.Port, Proto: t.Proto, Verdict: policy.Pass, Allowed: true, Rule: "dns", Names: []string{}, Change: []string{}, Note: "would be asked"}
	ports, by, ok := p.NamePorts(t.Name)
	switch {
	case p.Denied(t.Name) != nil:
		out.Verdict, out.Allowed, out.Rule, out.Note = policy.Deny, false, "user.deny", "the name would not resolve"
	case p.Mode == policy.Restricted && policy.DoHNames[t.Name]:
		out.Verdict, out.Allowed, out.Rule, out.Note = policy.Deny, false, "doh", "the name would not resolve"
	case p.Mode != policy.Allowlist:
		out.Rule, out.Note = "default."+p.Mode, "would be asked; its addresses decide"
	case !ok:
		out.Verdict, out.Allowed, out.Rule, out.Note = policy.Deny, false, "allowlist.default", "the name would not resolve"
	case !ports.Has(t.Port) && t.Proto != "icmp":
		out.Verdict, out.Allowed, out.Rule, out.Note = policy.Deny, false, "port.class", "would be asked; open on ports "+ports.String()
	case t.Proto == "udp" && t.Port == policy.TLSPort && p.RefusesQUIC(ports):
		out.Verdict, out.Allowed, out.Rule, out.Note = policy.Deny, false, "sni.quic", "would be asked; QUIC hides the name, TCP is open"
	default:
		out.Rule, out.Origin = "allow.name", by.Origin
	}
	f.behind(p, &out, t, netip.Addr{})
	return out
}

// behind adds the kernel's rule, its hits, the key and the commands.
func (f *Files) behind(p *policy.Policy, out *Answer, t Target, a netip.Addr) {
	out.Hits, out.Text = f.Status.Denied[out.Rule], f.ruleText(out.Rule)
	out.Key = policy.Key(out.Rule)
	for _, e := range p.Allow {
		if out.Allowed && out.Origin == "" && (e.Match(t.Name) || e.Dest.Prefix.IsValid() && a.IsValid() && e.Dest.Prefix.Contains(a)) {
			out.Origin = e.Origin
		}
	}
	if out.Rule == "allow.name" && t.Proto == "tcp" && t.Port == policy.TLSPort && p.SNI != policy.SNIOff {
		out.Note = strings.TrimPrefix(out.Note+"; the name that TLS asks for is judged too (network.sni = "+p.SNI+")", "; ")
	}
	where := out.Dest
	if a.IsValid() && a.Is6() && out.Dest == a.String() {
		where = "[" + where + "]"
	}
	if t.Proto != "icmp" {
		where += ":" + strconv.Itoa(int(t.Port))
	}
	name := cli.ShellQuote(f.Name)
	switch {
	case out.Allowed:
		out.Change = append(out.Change, "coi netguard deny "+name+" "+where)
	case out.Rule == "allowlist.default" || out.Rule == "port.class":
		out.Change = append(out.Change, "coi netguard allow "+name+" "+where)
	case out.Rule == "user.deny":
		out.Change = append(out.Change, "coi netguard deny --remove "+name+" "+where)
	}
}

// ruleText finds the lines of a rule: in the container's chains, else in the
// shared ones.
func (f *Files) ruleText(rule string) []string {
	family, _, _ := strings.Cut(rule, ".")
	out := []string{}
	for _, text := range []string{f.View.Rules, f.View.Shared} {
		for _, want := range []string{rule, family} {
			for line := range strings.Lines(text) {
				if strings.HasSuffix(strings.TrimSpace(line), " comment "+strconv.Quote(want)) && len(out) < 4 {
					out = append(out, strings.TrimSpace(line))
				}
			}
			if len(out) > 0 {
				return out
			}
		}
	}
	return out
}
