package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/dest"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// Part is what one container adds to the table.
type Part struct {
	Chains []nft.Chain
	Sets   []nft.Set
	Out    string // chain its packets go to; empty: drop
	Fwd    string // chain its forwarded packets go to
}

const (
	outLife  = time.Hour
	flowLife = 24 * time.Hour
	outSize  = 4096
)

// FlowLife is how long a noted destination is remembered after its last new flow.
const FlowLife = flowLife

// MaxFlows is how many destinations of one container the packet path notes.
const MaxFlows = outSize

// Chain names the chain or set of a container.
func (p *Policy) Chain(name string) string { return name + "_" + strconv.Itoa(p.N) }

// ClassChain is the chain of a port class.
func (p *Policy) ClassChain(class int) string { return fmt.Sprintf("k_%d_%d", p.N, class) }

// DynSet is the map of answered addresses of one family.
func (p *Policy) DynSet(is6 bool) *nft.Set {
	return &nft.Set{Name: p.Chain("dyn" + suffix(is6)), Key: addrType(is6), Map: true, Timeout: true, Open: true, Size: addrSetSize}
}

// Build makes the chains and sets of one container. classes are the port
// lists of its names, in the order of their chains.
func Build(p *Policy, e *Env, classes []Ports) *Part {
	b := &builder{p: p, e: e, part: &Part{Out: p.Chain("o"), Fwd: p.Chain("fw")}}
	b.sets()
	b.out()
	b.chain("host", b.host())
	b.chain("n", b.newFlow())
	b.chain("e", []nft.Rule{
		rule("echo.limit", stmts{perSecond(10, 20)}, goTo(p.Chain("n"))),
		rule("icmp", goTo("d_icmp")),
	})
	b.chain("l", b.local())
	b.chain("fw", b.forward())
	for i, ports := range classes {
		b.part.Chains = append(b.part.Chains, nft.Chain{Name: p.ClassChain(i), Rules: b.class(ports)})
	}
	return b.part
}

type builder struct {
	p    *Policy
	e    *Env
	part *Part
}

func (b *builder) chain(name string, rules []nft.Rule) {
	b.part.Chains = append(b.part.Chains, nft.Chain{Name: b.p.Chain(name), Rules: rules})
}

func (b *builder) families() []bool {
	if b.p.IPv6 {
		return []bool{false, true}
	}
	return []bool{false}
}

func (b *builder) sets() {
	p := b.p
	add := func(s nft.Set) { b.part.Sets = append(b.part.Sets, s) }
	for _, is6 := range []bool{false, true} {
		n := suffix(is6)
		tupleKey := append(addrType(is6), nft.Proto, nft.Service)
		add(nft.Set{Name: p.Chain("lit" + n), Key: tupleKey, Interval: true, Elems: tuples(p.Literals(), is6, true)})
		add(nft.Set{Name: p.Chain("deny" + n), Key: tupleKey, Interval: true, Elems: tuples(withPorts(p.Deny), is6, false)})
		add(nft.Set{Name: p.Chain("denyall" + n), Key: addrType(is6), Interval: true, Elems: prefixElems(withoutPorts(p.Deny), is6)})
		add(*p.DynSet(is6))
		add(nft.Set{Name: p.Chain("out" + n), Key: addrType(is6), Dynamic: true, Timeout: true, Open: true, Size: outSize, Counter: true})
		add(nft.Set{Name: p.Chain("flow" + n), Key: tupleKey, Dynamic: true, Timeout: true, Open: true, Size: outSize, Counter: true})
	}
	add(nft.Set{Name: p.Chain("cap"), Key: []nft.Type{nft.Service}, Interval: true, Elems: portElems(p.Cap)})
	add(nft.Set{Name: p.Chain("proto"), Key: []nft.Type{nft.Proto}, Dynamic: true, Timeout: true, Open: true, Size: 256})
	add(nft.Set{Name: p.Chain("cl"), Key: []nft.Type{nft.IfName}, Dynamic: true, Open: true, Size: 4})
}

// out is chain o_N, in the order of the table of rules.
func (b *builder) out() {
	p := b.p
	r := b.going()
	add := func(name string, parts ...stmts) { r = append(r, rule(name, parts...)) }
	if p.IPv6 {
		r = append(r, b.neighbour()...)
		add("spoof.src", v6(), b.notSource(true), goTo("d_spoof.src"))
	} else {
		for _, typ := range []uint8{133, 134, 135, 136, 143} { // what every stack sends by itself is not worth a log line
			add("v6.off", icmpType(true, typ), drop())
		}
		add("v6.off", v6(), goTo("d_v6.off"))
	}
	add("spoof.src", v4(), b.notSource(false), goTo("d_spoof.src"))
	if p.Held() {
		add("hold", goTo("d_hold"))
		b.chain("o", r)
		return
	}
	for _, is6 := range b.families() {
		add("count", dst(is6), stmts{dynset(opUpdate, p.Chain("out"+suffix(is6)), outLife, &expr.Counter{})})
	}
	add("established", state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), counter(), goTo("pass"))
	add("ct.invalid", state(expr.CtStateBitINVALID), goTo("d_ct.invalid"))
	add("dns", tcpudp(), stmts{dport(), eq(port(53))}, counter(), accept())
	for _, typ := range []uint32{unix.RTN_BROADCAST, unix.RTN_MULTICAST, unix.RTN_ANYCAST} {
		add("bcast", fib(typ), goTo("d_bcast"))
	}
	add("host", fib(unix.RTN_LOCAL), goTo(p.Chain("host")))
	for _, is6 := range b.families() {
		add("sibling", dstIn(is6, "pool"+suffix(is6)), goTo("d_sibling"))
	}
	for _, is6 := range b.families() {
		add("user.deny", dstIn(is6, p.Chain("denyall"+suffix(is6))), goTo("d_user.deny"))
		add("user.deny", tcpudp(), tuple(is6), stmts{in(p.Chain("deny" + suffix(is6)))}, goTo("d_user.deny"))
	}
	if p.Mode != Open {
		for _, is6 := range b.families() {
			if p.Mode == Restricted && !p.BlockMetadata {
				add("metadata.allow", dstIn(is6, "meta"+suffix(is6)), goTo(p.Chain("l")))
			}
			add("block", dstIn(is6, "hard"+suffix(is6)), goTo("b_slug"))
		}
	}
	add("conn.limit", state(expr.CtStateBitNEW), stmts{
		meta(expr.MetaKeyIIFNAME, reg1),
		dynset(opAdd, p.Chain("cl"), 0, &expr.Connlimit{Count: uint32(p.Connections), Flags: expr.NFT_CONNLIMIT_F_INV}),
	}, goTo("d_conn.limit"))
	if p.Mode != Open {
		r = append(r, b.closedRanges()...)
	}
	r = append(r, b.tail()...)
	b.chain("o", r)
}

// going passes a packet of an open flow by one rule where it would meet five: the
// own source, no hold, the count of bytes, the state of the flow. It decides
// nothing that the rules below would decide otherwise, and nearly every packet is
// of an open flow.
func (b *builder) going() (r []nft.Rule) {
	if b.p.Held() {
		return nil
	}
	for _, is6 := range b.families() {
		own := b.p.V4
		if is6 {
			own = b.p.V6
		}
		r = append(r, rule("established", family(is6), stmts{saddr(is6), eq(own.AsSlice())}, state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED),
			stmts{daddr(is6), dynset(opUpdate, b.p.Chain("out"+suffix(is6)), outLife, &expr.Counter{})}, counter(), goTo("pass")))
	}
	return r
}

// neighbour passes what IPv6 needs on the link, and pins what it announces.
func (b *builder) neighbour() []nft.Rule {
	lease := b.p.V6.AsSlice()
	var r []nft.Rule
	r = append(r, rule("spoof.nd", icmpType(true, 136), stmts{load(expr.PayloadBaseTransportHeader, 8, 16, reg1), ne(lease)}, goTo("d_spoof.nd")))
	for _, typ := range []uint8{133, 135, 136} {
		for _, src := range []stmts{{saddr(true), eq(lease)}, {load(expr.PayloadBaseNetworkHeader, 8, 2, reg1), eq([]byte{0xfe, 0x80})}, {saddr(true), eq(netip.IPv6Unspecified().AsSlice())}} {
			r = append(r, rule("nd", icmpType(true, typ), src, stmts{perSecond(50, 50)}, accept()))
		}
	}
	return r
}

func (b *builder) notSource(is6 bool) stmts {
	own := b.p.V4
	if is6 {
		own = b.p.V6
	}
	out := stmts{saddr(is6), ne(own.AsSlice())}
	for _, a := range b.p.Extra {
		if a.Is6() == is6 {
			out = append(out, saddr(is6), ne(a.AsSlice()))
		}
	}
	return out
}

func (b *builder) closedRanges() (r []nft.Rule) {
	p := b.p
	for _, is6 := range b.families() {
		n, echoType := suffix(is6), uint8(8)
		if is6 {
			echoType = 128
		}
		lit := stmts{in(p.Chain("lit" + n))}
		r = append(r,
			rule("allow.literal", tcpudp(), tuple(is6), lit, goTo(p.Chain("n"))),
			rule("allow.literal", icmpType(is6, echoType), tuple(is6), lit, goTo(p.Chain("e"))))
		soft := goTo("b_slug")
		if p.AllowLocal || p.Mode == Restricted && !p.BlockPrivate {
			soft = goTo(p.Chain("l"))
		}
		onlink := goTo("d_block.onlink")
		if p.AllowLocal {
			onlink = goTo(p.Chain("l"))
		}
		r = append(r, rule("block", dstIn(is6, "soft"+n), soft), rule("block.onlink", dstIn(is6, "onlink"+n), onlink))
	}
	return r
}

func (b *builder) tail() (r []nft.Rule) {
	p := b.p
	add := func(name string, parts ...stmts) { r = append(r, rule(name, parts...)) }
	if p.Mode == Restricted {
		add("dot", tcpudp(), stmts{dport(), eq(port(853))}, goTo("d_dot"))
		for _, is6 := range b.families() {
			add("doh", tcpudp(), stmts{dport(), eq(port(443))}, dstIn(is6, "doh"+suffix(is6)), goTo("d_doh"))
		}
	}
	r = append(r, b.portCap()...)
	add("net.c2-port", tcpudp(), stmts{dport(), in("c2ports"), meta(expr.MetaKeyIIFNAME, reg1), dynset(opAdd, "lograte", 0, perSecond(uint64(b.e.LogRate), uint32(2*b.e.LogRate))), logTo(b.e.Group, "net.c2-port")})
	r = append(r, b.badICMP()...)
	if p.Mode == Allowlist {
		for _, is6 := range b.families() {
			add("allow.name", dst(is6), stmts{vmap(p.Chain("dyn" + suffix(is6)))})
		}
		add("allowlist.default", icmpType(false, 8), goTo("d_allowlist.default"))
		add("allowlist.default", icmpType(true, 128), goTo("d_allowlist.default"))
		add("icmp", l4(unix.IPPROTO_ICMP), goTo("d_icmp"))
		add("icmp", l4(unix.IPPROTO_ICMPV6), goTo("d_icmp"))
		add("allowlist.default", goTo("d_allowlist.default"))
		return r
	}
	add("net.proto", otherProto(), stmts{meta(expr.MetaKeyL4PROTO, reg1), notIn(p.Chain("proto")), meta(expr.MetaKeyL4PROTO, reg1), dynset(opAdd, p.Chain("proto"), flowLife), logTo(b.e.Group, "net.proto")})
	add("default."+p.Mode, goTo(p.Chain("n")))
	return r
}

func otherProto() stmts {
	return stmts{meta(expr.MetaKeyL4PROTO, reg1), notIn("l4"), meta(expr.MetaKeyL4PROTO, reg1), ne([]byte{unix.IPPROTO_ICMP}), meta(expr.MetaKeyL4PROTO, reg1), ne([]byte{unix.IPPROTO_ICMPV6})}
}

func (b *builder) portCap() (r []nft.Rule) {
	if len(b.p.Cap) > 0 {
		r = append(r, rule("port.cap", tcpudp(), stmts{dport(), notIn(b.p.Chain("cap"))}, goTo("d_port.cap")))
	}
	return r
}

func (b *builder) badICMP() (r []nft.Rule) {
	for _, typ := range badICMP4 {
		r = append(r, rule("icmp", icmpType(false, typ), goTo("d_icmp")))
	}
	if b.p.IPv6 {
		for _, typ := range badICMP6 {
			r = append(r, rule("icmp", icmpType(true, typ), goTo("d_icmp")))
		}
	}
	return r
}

// local passes private and on-link ranges where a key opens them.
func (b *builder) local() []nft.Rule {
	p := b.p
	r := append(b.portCap(), b.badICMP()...)
	if p.Mode != Allowlist {
		return append(r, rule("local.allow", goTo(p.Chain("n"))))
	}
	return append(r,
		rule("local.allow", tcpudp(), goTo(p.Chain("n"))),
		rule("local.allow", icmpType(false, 8), goTo(p.Chain("e"))),
		rule("local.allow", icmpType(true, 128), goTo(p.Chain("e"))),
		rule("icmp", l4(unix.IPPROTO_ICMP), goTo("d_icmp")),
		rule("icmp", l4(unix.IPPROTO_ICMPV6), goTo("d_icmp")),
		rule("allowlist.default", goTo("d_allowlist.default")))
}

// host is what the container may do to the host itself.
func (b *builder) host() (r []nft.Rule) {
	ports, open := b.p.HostPorts()
	for _, is6 := range b.families() {
		gw, echoType := Gateway, uint8(8)
		if is6 {
			gw, echoType = Gateway6, 128
		}
		to := append(dst(is6), eq(gw.AsSlice()))
		r = append(r, rule("host.echo", icmpType(is6, echoType), to, stmts{perSecond(10, 20)}, accept()))
		if !open {
			continue
		}
		for _, p := range ports {
			r = append(r, rule("host.port", to, tcpudp(), dportIs(p), accept()))
		}
	}
	return append(r, rule("host.service", goTo("d_host.service")))
}

// newFlow notes a flow that may start, tells the guard about some of them, and passes it.
func (b *builder) newFlow() (r []nft.Rule) {
	for _, is6 := range b.families() {
		r = append(r, rule("flow", tuple(is6), stmts{dynset(opUpdate, b.p.Chain("flow"+suffix(is6)), flowLife, &expr.Counter{})}))
	}
	// Nothing is refused here, so the log is the only trace. Its rate is of its
	// own: no flood of other packets hides it.
	for _, is6 := range b.families() {
		r = append(r, rule("net.metadata", dstIn(is6, "cloud"+suffix(is6)), stmts{meta(expr.MetaKeyIIFNAME, reg1), dynset(opAdd, "cloudrate", 0, perSecond(uint64(b.e.NewRate), uint32(2*b.e.NewRate))), logTo(b.e.Group, "net.metadata")}))
	}
	return append(r,
		rule("flow", stmts{meta(expr.MetaKeyIIFNAME, reg1), dynset(opAdd, "flowrate", 0, perSecond(uint64(b.e.NewRate), uint32(2*b.e.NewRate))), logTo(b.e.Group, "flow")}),
		rule("new", counter(), goTo("pass")))
}

func (b *builder) forward() (r []nft.Rule) {
	p := b.p
	if p.Held() {
		return []nft.Rule{rule("hold", goTo("d_hold"))}
	}
	if p.Mode == Open {
		return []nft.Rule{rule("open", accept())}
	}
	for _, is6 := range b.families() {
		n := suffix(is6)
		r = append(r, rule("allow.literal", tuple(is6), stmts{in(p.Chain("lit" + n))}, accept()))
		if p.Mode == Restricted && !p.BlockMetadata {
			r = append(r, rule("metadata.allow", dstIn(is6, "meta"+n), accept()))
		}
		if p.AllowLocal || p.Mode == Restricted && !p.BlockPrivate {
			r = append(r, rule("local.allow", dstIn(is6, "soft"+n), accept()))
		}
		if p.AllowLocal {
			r = append(r, rule("local.allow", dstIn(is6, "onlink"+n), accept()))
		}
		for _, set := range []string{"hard", "soft", "onlink", "pool"} {
			r = append(r, rule("dnat.blocked", dnat(), dstIn(is6, set+n), goTo("d_dnat.blocked")))
		}
	}
	return append(r,
		rule("route.not-uplink", stmts{meta(expr.MetaKeyOIFNAME, reg1), notIn("uplinks")}, goTo("d_route.not-uplink")),
		rule("forward", accept()))
}

// class is chain k_N_c: the ports of the names that opened an address.
func (b *builder) class(ports Ports) (r []nft.Rule) {
	p := b.p
	if p.ChecksNames(ports) {
		tls := stmts{dport(), eq(port(TLSPort))}
		if p.RefusesQUIC(ports) {
			r = append(r, rule("sni.quic", l4(unix.IPPROTO_UDP), tls, goTo("d_sni.quic")))
		}
		r = append(r, rule("sni", l4(unix.IPPROTO_TCP), tls, setMark(b.e.named()), goTo(p.Chain("n"))))
	}
	if len(ports) == 0 {
		r = append(r, rule("allow.name", tcpudp(), goTo(p.Chain("n"))))
	}
	for _, one := range ports {
		r = append(r, rule("allow.name", tcpudp(), dportIs(one), goTo(p.Chain("n"))))
	}
	return append(r,
		rule("allow.name", icmpType(false, 8), goTo(p.Chain("e"))),
		rule("allow.name", icmpType(true, 128), goTo(p.Chain("e"))),
		rule("icmp", l4(unix.IPPROTO_ICMP), goTo("d_icmp")),
		rule("icmp", l4(unix.IPPROTO_ICMPV6), goTo("d_icmp")),
		rule("port.class", goTo("d_port.class")))
}

func withPorts(list []Entry) (out []Entry) {
	for _, e := range list {
		if e.Dest.Prefix.IsValid() && len(e.Ports) > 0 {
			out = append(out, e)
		}
	}
	return out
}

func withoutPorts(list []Entry) (out []netip.Prefix) {
	for _, e := range list {
		if e.Dest.Prefix.IsValid() && len(e.Ports) == 0 {
			out = append(out, e.Dest.Prefix)
		}
	}
	return out
}

// tuples turns entries into elements of a set of address . protocol . port.
// Such a set holds no overlaps, so addresses are cut at every edge first.
func tuples(list []Entry, is6, ping bool) []nft.Elem {
	var cuts []netip.Addr
	for _, e := range list {
		if e.Dest.Prefix.Addr().Is6() != is6 {
			continue
		}
		cuts = append(cuts, e.Dest.Prefix.Addr())
		if n := last(e.Dest.Prefix).Next(); n.IsValid() {
			cuts = append(cuts, n)
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	var out []nft.Elem
	for i, from := range cuts {
		to := lastAddr(from)
		if i+1 < len(cuts) {
			to = cuts[i+1].Prev()
		}
		ports, any := covering(list, from)
		if !any {
			continue
		}
		for _, r := range ports {
			for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
				out = append(out, tupleElem(from, to, proto, r))
			}
		}
		if ping {
			proto := uint8(unix.IPPROTO_ICMP)
			if is6 {
				proto = unix.IPPROTO_ICMPV6
			}
			// ICMP has a checksum where the others have the port: any value.
			out = append(out, tupleElem(from, to, proto, dest.Ports{Low: 0, High: 65535}))
		}
	}
	return out
}

func covering(list []Entry, a netip.Addr) (ports Ports, any bool) {
	all := false
	for _, e := range list {
		if e.Dest.Prefix.Contains(a) {
			any, all = true, all || len(e.Ports) == 0
			ports = append(ports, e.Ports...)
		}
	}
	if all {
		return Ports{{Low: 0, High: 65535}}, true
	}
	return dest.Normal(ports), any
}

func tupleElem(from, to netip.Addr, proto uint8, r dest.Ports) nft.Elem {
	key := func(a netip.Addr, p uint16) []byte {
		return slices.Concat(a.AsSlice(), []byte{proto, 0, 0, 0}, port(p), []byte{0, 0})
	}
	return nft.Elem{Key: key(from, r.Low), End: key(to, r.High)}
}
