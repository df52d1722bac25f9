// Package resolve answers the DNS questions of containers. It decides each
// question by the asking container's policy, asks upstream, filters what comes
// back, and has the addresses opened before the answer leaves.
package resolve

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// View is what the resolver knows of the container that asks.
type View struct {
	Policy *policy.Policy
	Facts  *policy.Facts
	V6     bool                  // the host can reach IPv6
	Open   func(netip.Addr) bool // the address is open for a name now; nil: none is
	limit  *bucket
}

// Query is one question and what became of it.
type Query struct {
	Container string
	Name      string // lower case, without final dot
	Type      uint16
	Result    string // ok nxdomain nodata blocked refused rebind rate error upstream map-full
	Rule      string // dns.* or user.deny when an event is due
	Cached    bool
	Asked     bool // sent upstream
	Bytes     int  // of the answer
	Answers   []netip.Addr
}

// Guard is what the resolver needs of the rest of the guard.
type Guard interface {
	// Find gives the view of the container with this address, nil if there is none.
	Find(client netip.Addr) *View
	// Open makes addresses of a name reachable for life. It returns when the
	// kernel has them, or an error, upon which none of them may be told.
	Open(v *View, name string, ports policy.Ports, addrs []netip.Addr, life time.Duration) error
	// Seen is told every question once it is answered.
	Seen(q Query)
}

// Resolver answers questions.
type Resolver struct {
	guard Guard
	up    *Upstream
	cache *cache
	now   func() time.Time
	// other gets TCP connections that were redirected here from another port than 53.
	other func(ctx context.Context, c *net.TCPConn, client netip.Addr, to netip.AddrPort)
}

// OnOther has f called, each time on a goroutine of its own, with TCP connections
// that were redirected here and are no questions; f closes them. Without it they
// are refused. It is to be set before Serve.
func (r *Resolver) OnOther(f func(ctx context.Context, c *net.TCPConn, client netip.Addr, to netip.AddrPort)) {
	r.other = f
}

// New makes a resolver that asks up.
func New(g Guard, up *Upstream) *Resolver {
	return &Resolver{guard: g, up: up, cache: newCache(8192), now: time.Now}
}

// maxPayload is the largest UDP answer; larger ones would be fragmented.
const maxPayload = 1232

// Handle answers one packet. nil means no answer at all.
func (r *Resolver) Handle(ctx context.Context, client netip.Addr, packet []byte, tcp bool) []byte {
	v := r.guard.Find(client.Unmap())
	if v == nil || len(packet) < 12 || packet[2]&0x80 != 0 {
		return nil
	}
	q := Query{Container: v.Policy.Container, Result: "error"}
	var m dns.Msg
	err := m.Unpack(packet)
	if v.limit != nil && !v.limit.take(r.now()) {
		q.Result, q.Rule = "rate", "dns.rate"
		if err == nil && len(m.Question) == 1 {
			q.Name, q.Type = normal(m.Question[0].Name), m.Question[0].Qtype
		}
		r.guard.Seen(q)
		return r.pack(header(packet, dns.RcodeServerFailure), nil, tcp)
	}
	if rcode, bad := malformed(packet, &m, err); bad {
		r.guard.Seen(q)
		return r.pack(header(packet, rcode), nil, tcp)
	}
	q.Name, q.Type = normal(m.Question[0].Name), m.Question[0].Qtype
	reply := new(dns.Msg)
	reply.SetReply(&m)
	reply.RecursionAvailable = true
	r.decide(ctx, v, reply, &q)
	out := r.pack(reply, m.IsEdns0(), tcp)
	q.Bytes = len(out)
	r.guard.Seen(q)
	return out
}

// header is an answer to a packet that could not be read whole.
func header(packet []byte, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.Id = uint16(packet[0])<<8 | uint16(packet[1])
	m.Response, m.Opcode, m.Rcode = true, int(packet[2]>>3)&15, rcode
	return m
}

func malformed(packet []byte, m *dns.Msg, err error) (rcode int, bad bool) {
	switch opcode := int(packet[2]>>3) & 15; {
	case opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, true
	case err != nil, len(m.Question) != 1:
		return dns.RcodeFormatError, true
	case m.Question[0].Qclass != dns.ClassINET:
		return dns.RcodeNotImplemented, true
	}
	return 0, false
}

// normal is a name as entries are written: lower case, no final dot.
func normal(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// pack writes the answer: at most maxPayload by UDP and what the client takes,
// with an OPT record of ours where it sent one.
func (r *Resolver) pack(m *dns.Msg, opt *dns.OPT, tcp bool) []byte {
	size := 65535
	if !tcp {
		size = 512
		if opt != nil {
			size = min(maxPayload, max(512, int(opt.UDPSize())))
		}
	}
	own := m.IsEdns0()
	switch {
	case opt == nil && own != nil:
		m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr == dns.RR(own) })
	case opt != nil:
		if own == nil {
			own = &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
			m.Extra = append(m.Extra, own)
		}
		own.SetUDPSize(maxPayload)
	}
	m.AuthenticatedData = false
	m.Truncate(size)
	out, err := m.Pack()
	if err != nil {
		fail := new(dns.Msg)
		fail.Id, fail.Response, fail.Rcode = m.Id, true, dns.RcodeServerFailure
		out, _ = fail.Pack()
	}
	return out
}

// blocked adds the reason of a refusal (RFC 8914, 15 Blocked).
func blocked(m *dns.Msg, why string) {
	m.Rcode = dns.RcodeNameError
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeBlocked, ExtraText: why})
	m.Extra = append(m.Extra, opt)
}

// decide fills the reply, in the order of the table of questions.
func (r *Resolver) decide(ctx context.Context, v *View, reply *dns.Msg, q *Query) {
	p := v.Policy
	if refusedType(q.Type) {
		reply.Rcode, q.Result = dns.RcodeRefused, "refused"
		return
	}
	if addrs := p.HostName(q.Name); len(addrs) > 0 {
		fixed(reply, addrs, q)
		return
	}
	if by := p.Denied(q.Name); by != nil {
		q.Result, q.Rule = "blocked", "user.deny"
		blocked(reply, "denied by the user")
		return
	}
	if p.Mode == policy.Open {
		r.pass(ctx, v, reply, q)
		return
	}
	if odd(q.Name) || p.Mode == policy.Restricted && (q.Name == "use-application-dns.net" || policy.DoHNames[q.Name]) {
		reply.Rcode, q.Result = dns.RcodeNameError, "blocked"
		return
	}
	if a, ok := reverse(q.Name); ok {
		slug, _ := policy.RangeOf(a)
		if slug != "" || p.Mode == policy.Allowlist && (v.Open == nil || !v.Open(a)) {
			reply.Rcode, q.Result = dns.RcodeNameError, "blocked"
			return
		}
		r.pass(ctx, v, reply, q)
		return
	}
	ports := policy.Ports(nil)
	if p.Mode == policy.Allowlist {
		var ok bool
		if ports, _, ok = p.NamePorts(q.Name); !ok {
			q.Result, q.Rule = "blocked", "allowlist.default"
			blocked(reply, "not in network.allowed_domains")
			return
		}
	}
	if q.Type == dns.TypeHTTPS || q.Type == dns.TypeSVCB {
		q.Result = "nodata" // no address hints, no keys for encrypted hello
		return
	}
	r.ask(ctx, v, reply, q, ports)
}

func refusedType(t uint16) bool {
	switch t {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeNULL, dns.TypeOPT, dns.TypeMAILA, dns.TypeMAILB, dns.TypeTSIG, dns.TypeTKEY, dns.TypeNone:
		return true
	}
	return t >= 65280
}

// odd names never leave the host: they have a meaning only on some network, or
// programs read them in two ways.
func odd(name string) bool {
	if name == "" || !strings.Contains(name, ".") || strings.Contains(name, `\`) {
		return true
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "local" || last == "internal" {
		return true
	}
	return strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
}

func fixed(reply *dns.Msg, addrs []netip.Addr, q *Query) {
	q.Result = "nodata"
	for _, a := range addrs {
		if rr := record(reply.Question[0].Name, a, 60); rr.Header().Rrtype == q.Type {
			reply.Answer = append(reply.Answer, rr)
			q.Result, q.Answers = "ok", append(q.Answers, a)
		}
	}
}

func record(name string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: ttl}, AAAA: a.AsSlice()}
}

// reverse reads the address of a PTR question.
func reverse(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(rest, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(rest) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		b.WriteByte(rest[i])
		if b.Len()%5 == 4 && i > 0 {
			b.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}

// Domain is the registered domain of a name: public suffix and one label.
func Domain(name string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}
