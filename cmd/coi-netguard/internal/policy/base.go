package policy

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/inet"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// Env is what all rules of one guard have in common.
type Env struct {
	Table   string
	Prefix  string // of our interfaces: "coi" and the tag
	Mark    uint32 // one bit
	Group   uint16 // NFLOG
	DNSPort uint16
	LogRate int // messages about refused packets, a second and container
	NewRate int // the same about new flows
}

// Priorities: after conntrack (-200) and before mangle (-150) and DNAT (-100),
// so that a packet is judged by where the container sent it.
const (
	prioPre     = -190
	prioForward = -10
	prioInput   = -10
	// FirstNAT is the priority of the first of our chains that translates addresses.
	FirstNAT = prioDNS
	prioDNS  = -101
	prioSNI  = -100
	prioMasq = 101
)

// silent are the rules that drop without an answer.
var silent = []string{"spoof.src", "spoof.nd", "base.no-policy", "bcast", "ct.invalid", "in.new", "hold", "v6.off"}

// answered are the rules that refuse with a reset or an ICMP error.
var answered = []string{
	"host.service", "sibling", "user.deny", "conn.limit", "dot", "doh", "port.cap", "port.class", "icmp", "allowlist.default", "sni.quic",
	"dnat.blocked", "route.not-uplink", "block.onlink", "block.this-net", "block.loopback", "block.link-local", "block.metadata", "block.reserved", "block.multicast",
	"block.class-e", "block.sixtofour", "block.mapped", "block.v6-other", "block.private", "block.cgnat", "block.benchmark",
}

// Rules lists the names of all rules that refuse.
func Rules() []string { return slices.Concat(silent, answered) }

// Base is the part of the table that all containers share.
func Base(e *Env, f *Facts) *nft.Table {
	t := &nft.Table{Name: e.Table}
	e.sets(t, f)
	t.Chains = append(t.Chains,
		nft.Chain{Name: "pre", Hook: &nft.Hook{Type: "filter", Num: nft.Prerouting, Priority: prioPre}, Rules: []nft.Rule{
			rule("container", stmts{meta(expr.MetaKeyIIFNAME, reg1), vmap("port")}),
			rule("base.no-policy", ours(expr.MetaKeyIIFNAME, e.Prefix), goTo("d_base.no-policy")),
		}},
		nft.Chain{Name: "forward", Hook: &nft.Hook{Type: "filter", Num: nft.Forward, Priority: prioForward}, Rules: []nft.Rule{
			rule("out", ours(expr.MetaKeyIIFNAME, e.Prefix), goTo("f_out")),
			rule("in", ours(expr.MetaKeyOIFNAME, e.Prefix), goTo("f_in")),
		}},
		nft.Chain{Name: "input", Hook: &nft.Hook{Type: "filter", Num: nft.Input, Priority: prioInput}, Rules: []nft.Rule{
			// The table of a guard that is gone must not drop the questions of another's containers.
			rule("dns.foreign", notOurs(expr.MetaKeyIIFNAME, "coi"), tcpudp(), stmts{dport(), eq(port(e.DNSPort))}, counter(), drop()),
			e.direct(unix.IPPROTO_UDP), e.direct(unix.IPPROTO_TCP),
		}},
		nft.Chain{Name: "dns", Hook: &nft.Hook{Type: "nat", Num: nft.Prerouting, Priority: prioDNS}, Rules: []nft.Rule{
			e.redirect(unix.IPPROTO_UDP), e.redirect(unix.IPPROTO_TCP),
		}},
		nft.Chain{Name: "sni", Hook: &nft.Hook{Type: "nat", Num: nft.Prerouting, Priority: prioSNI}, Rules: []nft.Rule{
			rule("sni", ours(expr.MetaKeyIIFNAME, e.Prefix), l4(unix.IPPROTO_TCP), marked(e.named()), clearMark(e.named()), e.toGuard()),
		}},
		nft.Chain{Name: "masq", Hook: &nft.Hook{Type: "nat", Num: nft.Postrouting, Priority: prioMasq}, Rules: []nft.Rule{
			rule("masq4", v4(), stmts{saddr(false), in("pool4")}, notOurs(expr.MetaKeyOIFNAME, "coi"), stmts{&expr.Masq{}}),
			rule("masq6", v6(), stmts{saddr(true), in("pool6")}, notOurs(expr.MetaKeyOIFNAME, "coi"), stmts{&expr.Masq{}}),
		}},
		nft.Chain{Name: "pass", Rules: []nft.Rule{rule("pass", setMark(e.Mark), accept())}},
		nft.Chain{Name: "f_out", Rules: outward(e)},
		nft.Chain{Name: "f_in", Rules: []nft.Rule{
			rule("established", state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept()),
			rule("in.new", goTo("d_in.new")),
		}},
		nft.Chain{Name: "b_slug", Rules: []nft.Rule{
			rule("block", dst(false), stmts{vmap("slug4")}),
			rule("block", dst(true), stmts{vmap("slug6")}),
			rule("block", goTo("d_block.reserved")),
		}},
	)
	for _, name := range silent {
		t.Chains = append(t.Chains, e.refuse(name, false))
	}
	for _, name := range answered {
		t.Chains = append(t.Chains, e.refuse(name, true))
	}
	return t
}

// named is the bit of a new TLS connection whose name is to be judged: the
// neighbour of the bit of what was judged by address.
func (e *Env) named() uint32 { return bits.RotateLeft32(e.Mark, 1) }

// direct refuses the guard's own port to those who were not redirected to it:
// questions by chain dns, TLS connections by chain sni.
func (e *Env) direct(proto uint8) nft.Rule {
	meant := func(p uint16) stmts { return stmts{&expr.Ct{Key: expr.CtKeyPROTODST, Register: reg1}, ne(port(p))} }
	to := meant(53)
	if proto == unix.IPPROTO_TCP {
		to = append(to, meant(TLSPort)...)
	}
	return rule("dns.direct", ours(expr.MetaKeyIIFNAME, e.Prefix), l4(proto), stmts{dport(), eq(port(e.DNSPort))}, to, goTo("d_host.service"))
}

func (e *Env) redirect(proto uint8) nft.Rule {
	return rule("dns", ours(expr.MetaKeyIIFNAME, e.Prefix), l4(proto), stmts{dport(), eq(port(53))}, e.toGuard())
}

// toGuard redirects a flow to the guard's port.
func (e *Env) toGuard() stmts {
	return stmts{&expr.Immediate{Register: reg1, Data: port(e.DNSPort)}, &expr.Redir{RegisterProtoMin: reg1}}
}

// refuse is chain d_<rule>: count, log within the container's share, end.
func (e *Env) refuse(name string, answer bool) nft.Chain {
	key := expr.MetaKeyIIFNAME
	if name == "in.new" {
		key = expr.MetaKeyOIFNAME
	}
	c := nft.Chain{Name: "d_" + name, Rules: []nft.Rule{
		rule(name, stmts{meta(key, reg1), dynset(opUpdate, "n_"+name, 0, &expr.Counter{})}),
		rule(name, stmts{meta(key, reg1), dynset(opAdd, "lograte", 0, perSecond(uint64(e.LogRate), uint32(2*e.LogRate))), logTo(e.Group, name)}),
	}}
	if answer {
		c.Rules = append(c.Rules,
			rule(name, l4(unix.IPPROTO_TCP), stmts{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}),
			rule(name, stmts{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}))
	} else {
		c.Rules = append(c.Rules, rule(name, drop()))
	}
	return c
}

const (
	maxContainers = 4096
	addrSetSize   = 65536
)

func (e *Env) sets(t *nft.Table, f *Facts) {
	ifmap := func(name string) nft.Set {
		return nft.Set{Name: name, Key: []nft.Type{nft.IfName}, Map: true, Open: true, Size: maxContainers}
	}
	t.Sets = append(t.Sets, ifmap("port"), ifmap("fwd_port"),
		nft.Set{Name: "l4", Key: []nft.Type{nft.Proto}, Elems: []nft.Elem{{Key: []byte{unix.IPPROTO_TCP}}, {Key: []byte{unix.IPPROTO_UDP}}}},
		nft.Set{Name: "lograte", Key: []nft.Type{nft.IfName}, Dynamic: true, Open: true, Size: maxContainers},
		nft.Set{Name: "flowrate", Key: []nft.Type{nft.IfName}, Dynamic: true, Open: true, Size: maxContainers},
		nft.Set{Name: "cloudrate", Key: []nft.Type{nft.IfName}, Dynamic: true, Open: true, Size: maxContainers},
		nft.Set{Name: "cloud4", Key: addrType(false), Interval: true, Elems: prefixElems(inet.Metadata, false)},
		nft.Set{Name: "cloud6", Key: addrType(true), Interval: true, Elems: prefixElems(inet.Metadata, true)},
		nft.Set{Name: "uplinks", Key: []nft.Type{nft.IfName}, Elems: names(f.Uplinks)},
		nft.Set{Name: "c2ports", Key: []nft.Type{nft.Service}, Interval: true, Elems: c2ports()},
		addrSet("doh4", DoH, false), addrSet("doh6", DoH, true), addrSet("meta4", metadata4, false), addrSet("meta6", metadata6, true),
	)
	for _, is6 := range []bool{false, true} {
		n, list := suffix(is6), closed4
		if is6 {
			list = closed6
		}
		hard := nft.Set{Name: "hard" + n, Key: addrType(is6), Interval: true}
		soft := nft.Set{Name: "soft" + n, Key: addrType(is6), Interval: true}
		slug := nft.Set{Name: "slug" + n, Key: addrType(is6), Interval: true, Map: true}
		for _, s := range list {
			el := nft.Elem{Key: s.from.AsSlice(), End: s.to.AsSlice()}
			if s.from == s.to {
				el.End = nil
			}
			if s.reach == 2 {
				hard.Elems = append(hard.Elems, el)
			} else {
				soft.Elems = append(soft.Elems, el)
			}
			el.Goto = "d_block." + s.slug
			slug.Elems = append(slug.Elems, el)
		}
		hard.Elems, soft.Elems = mergeElems(hard.Elems), mergeElems(soft.Elems)
		t.Sets = append(t.Sets, hard, soft, slug,
			nft.Set{Name: "onlink" + n, Key: addrType(is6), Interval: true, Elems: prefixElems(f.Onlink, is6)},
			nft.Set{Name: "pool" + n, Key: addrType(is6), Interval: true, Elems: prefixElems(f.Pools, is6)})
	}
	for _, name := range Rules() {
		t.Sets = append(t.Sets, nft.Set{Name: "n_" + name, Key: []nft.Type{nft.IfName}, Dynamic: true, Open: true, Size: maxContainers, Counter: true})
	}
}

func suffix(is6 bool) string {
	if is6 {
		return "6"
	}
	return "4"
}

func addrType(is6 bool) []nft.Type {
	if is6 {
		return []nft.Type{nft.IPv6}
	}
	return []nft.Type{nft.IPv4}
}

func names(list []string) []nft.Elem {
	var out []nft.Elem
	for _, n := range list {
		out = append(out, nft.Elem{Key: nft.Pad(n)})
	}
	return out
}

// C2Ports are ports that remote control programs are fond of.
var C2Ports = Ports{{Low: 1337, High: 1337}, {Low: 4444, High: 4444}, {Low: 5555, High: 5555}, {Low: 6666, High: 6669}, {Low: 6697, High: 6697}, {Low: 12345, High: 12345}, {Low: 31337, High: 31337}}

func c2ports() []nft.Elem { return portElems(C2Ports) }

func portElems(list Ports) []nft.Elem {
	var out []nft.Elem
	for _, r := range list {
		e := nft.Elem{Key: port(r.Low)}
		if r.High != r.Low {
			e.End = port(r.High)
		}
		out = append(out, e)
	}
	return out
}

func addrSet(name string, list []netip.Addr, is6 bool) nft.Set {
	s := nft.Set{Name: name, Key: addrType(is6)}
	for _, a := range list {
		if a.Is6() == is6 {
			s.Elems = append(s.Elems, nft.Elem{Key: a.AsSlice()})
		}
	}
	return s
}

// prefixElems turns prefixes of one family into ranges that neither touch nor overlap.
func prefixElems(list []netip.Prefix, is6 bool) []nft.Elem {
	var out []nft.Elem
	for _, p := range list {
		if p.Addr().Is6() == is6 {
			out = append(out, nft.Elem{Key: p.Masked().Addr().AsSlice(), End: last(p).AsSlice()})
		}
	}
	return mergeElems(out)
}

func mergeElems(list []nft.Elem) []nft.Elem {
	end := func(e nft.Elem) netip.Addr {
		b := e.End
		if b == nil {
			b = e.Key
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	slices.SortFunc(list, func(a, b nft.Elem) int { return slices.Compare(a.Key, b.Key) })
	var out []nft.Elem
	for _, e := range list {
		if n := len(out); n > 0 {
			key, _ := netip.AddrFromSlice(e.Key)
			if prev := end(out[n-1]); key.Compare(prev) <= 0 || prev.Next() == key {
				if prev.Less(end(e)) {
					out[n-1].End = end(e).AsSlice()
				}
				continue
			}
		}
		out = append(out, e)
	}
	for i := range out {
		if slices.Equal(out[i].Key, out[i].End) {
			out[i].End = nil
		}
	}
	return out
}

// outward is what the packets of all containers meet when they are forwarded.
func outward(e *Env) []nft.Rule {
	own := rule("container", stmts{meta(expr.MetaKeyIIFNAME, reg1), vmap("fwd_port")})
	list := []nft.Rule{
		// Only chain pass sets the bit, so a packet without it was judged by nobody.
		rule("base.no-policy", unmarked(e.Mark), goTo("d_base.no-policy")),
		rule("unmark", clearMark(e.Mark)),
		rule("established", state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept()),
	}
	// What coi health allowed its one container to reach of its other one.
	for _, text := range []string{run.ProbePrivate, run.ProbeCGNAT, run.ProbePrivate6} {
		a := netip.MustParseAddr(text)
		list = append(list, rule("probe", ours(expr.MetaKeyOIFNAME, "coi"), dst(a.Is6()), stmts{eq(a.AsSlice())}, stmts{meta(expr.MetaKeyIIFNAME, reg1), vmap("fwd_port")}))
	}
	return append(list, rule("sibling", ours(expr.MetaKeyOIFNAME, "coi"), goTo("d_sibling")), own, rule("base.no-policy", goTo("d_base.no-policy")))
}
