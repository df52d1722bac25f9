// Package events turns refused packets and DNS questions into findings: the
// first of a kind at once, repeats as one record with their number. It knows
// neither kernel nor files; time comes in with each event.
package events

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/inet"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// Sink gets finished records of a container.
type Sink func(container string, r audit.Record)

// Names finds the names that led to an address of a container.
type Names func(netip.Addr) []string

// Book condenses the events of one container. It is not safe for several goroutines.
type Book struct {
	container string
	sink      Sink
	kinds     map[kind]*tally
	rules     map[string]*ruleCount
	scan      scan
	dns       dnsBook
}

type kind struct {
	rule  string
	dst   netip.Addr
	proto uint8
	port  uint16
	gone  bool // it was let through
}

type tally struct {
	first audit.Record
	since time.Time
	last  time.Time
	count int // since the last record
	total int
}

// maxKinds bounds the memory of a container that tries every address; what is
// over it is told by rule alone.
const maxKinds = 2048

// NewBook makes the book of one container.
func NewBook(container string, sink Sink) *Book {
	return &Book{container: container, sink: sink, kinds: map[kind]*tally{}, rules: map[string]*ruleCount{}}
}

func window(rule string) time.Duration {
	if strings.HasPrefix(rule, "spoof.") {
		return 10 * time.Second
	}
	return 60 * time.Second
}

func level(rule string, p packets.Packet, f *policy.Facts) coi.Level {
	switch {
	case strings.HasPrefix(rule, "spoof."):
		if known(f, p.Src) {
			return coi.High
		}
		return coi.Warning
	case strings.HasPrefix(rule, "block."), rule == "host.service", rule == "sibling", rule == "conn.limit", rule == "net.c2-port", rule == "net.metadata", rule == "net.proto", rule == "dnat.blocked", rule == "base.no-policy":
		return coi.Warning
	}
	return coi.Info
}

func known(f *policy.Facts, a netip.Addr) bool {
	return slices.Contains(f.Local, a) || slices.ContainsFunc(f.Pools, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Packet notes a logged packet. One that asks for a metadata address is told of
// in every mode, whatever became of it: which rule refused it, if any, is
// another matter.
func (b *Book) Packet(p packets.Packet, f *policy.Facts, names Names) {
	b.ruleOf(p.Rule).logged++
	b.packet(p, f, names, p.Rule)
	if p.Rule != metadataRule && refused(p.Rule) && p.Rule != "host.service" && inet.IsMetadata(p.Dst) {
		b.packet(p, f, names, metadataRule)
	}
	if refused(p.Rule) {
		b.scan.add(b, p)
	}
}

const metadataRule = "net.metadata"

// packet notes a packet for a rule.
func (b *Book) packet(p packets.Packet, f *policy.Facts, names Names, rule string) {
	blocked := refused(p.Rule)
	p.Rule = rule
	b.note(kind{p.Rule, p.Dst, p.Proto, p.Port, !blocked}, p.At, func() audit.Record {
		r := b.record(p, f, names)
		if rule == metadataRule && blocked {
			r.Action, r.Title = audit.Blocked, "blocked: "+r.Title
		}
		return r
	})
}

// note counts an event of a kind; the first makes the record.
func (b *Book) note(k kind, at time.Time, first func() audit.Record) {
	t := b.kinds[k]
	if t == nil && len(b.kinds) >= maxKinds {
		k = kind{rule: k.rule, gone: k.gone}
		t = b.kinds[k]
	}
	if t != nil {
		t.count++
		t.total++
		t.last = at
		return
	}
	r := first()
	b.kinds[k] = &tally{first: r, since: at, last: at, total: 1}
	b.sink(b.container, r)
}

// TLS is a connection that is not what a name led to.
type TLS struct {
	At       time.Time
	Rule     string // sni.*
	From, To netip.AddrPort
	Name     string // the one asked for, empty when there is none
	ALPN     []string
	Led      []string // names that led to the address
	Refused  bool
}

// TLS notes such a connection.
func (b *Book) TLS(c TLS) {
	b.note(kind{c.Rule, c.To.Addr(), unix.IPPROTO_TCP, c.To.Port(), !c.Refused}, c.At, func() audit.Record {
		r := audit.Record{
			TS: c.At, Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryNetwork, Rule: c.Rule, Level: coi.Warning, Action: audit.Alerted,
			Proto: "tcp", Local: c.From.String(), Peer: c.To.Addr().String(), Port: int(c.To.Port()), Name: c.Name, Title: tlsWords[c.Rule] + " to " + c.To.String(),
			Description: "an address that was opened for a name is used for something else", Evidence: map[string]any{"names": c.Led},
		}
		if c.Rule == "sni.mismatch" && c.Name != "" {
			r.Title = "TLS for " + c.Name + ", which did not lead to " + c.To.String()
		}
		if len(c.ALPN) > 0 {
			r.Evidence["alpn"] = c.ALPN
		}
		if c.Refused {
			r.Action, r.Title = audit.Blocked, "blocked: "+r.Title
		}
		return r
	})
}

var tlsWords = map[string]string{"sni.mismatch": "TLS without a name", "sni.encrypted": "TLS with an encrypted name", "sni.not-tls": "no TLS", "sni.limit": "too many TLS connections at once,"}

func refused(rule string) bool {
	return slices.Contains(policy.Rules(), rule)
}

func (b *Book) record(p packets.Packet, f *policy.Facts, names Names) audit.Record {
	r := audit.Record{
		TS: p.At, Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryNetwork, Rule: p.Rule, Action: audit.Blocked,
		Level: level(p.Rule, p, f), Proto: packets.ProtoName(p.Proto), Local: local(p), Peer: p.Dst.String(), Port: int(p.Port),
	}
	if n := names(p.Dst); len(n) > 0 {
		r.Name = n[0]
	}
	to := p.Dst.String()
	if p.Port > 0 {
		to = netip.AddrPortFrom(p.Dst, p.Port).String()
	}
	r.Title = "blocked: " + what(p.Rule) + " " + to
	switch p.Rule {
	case "net.c2-port":
		r.Action, r.Title = audit.Alerted, "connection to "+to+", a port that remote control programs use"
	case metadataRule:
		r.Action, r.Title = audit.Alerted, "connection to the metadata address "+to
	case "net.proto":
		r.Action, r.Title = audit.Alerted, "first packet of IP protocol "+r.Proto+" to "+to
	}
	if inet.IsMetadata(p.Dst) && p.Rule != "host.service" {
		r.Description = "the address answers with cloud credentials; many programs ask it by habit"
	}
	return r
}

func local(p packets.Packet) string {
	if p.SrcPort == 0 {
		return p.Src.String()
	}
	return netip.AddrPortFrom(p.Src, p.SrcPort).String()
}

var words = map[string]string{
	"spoof.src": "false source address to", "spoof.nd": "false neighbour announcement to", "v6.off": "IPv6 to", "hold": "held packet to", "bcast": "broadcast or multicast to",
	"ct.invalid": "packet of no connection to", "host.service": "service of the host", "sibling": "another container", "user.deny": "denied by the user:", "conn.limit": "too many connections:",
	"dot": "DNS over TLS to", "doh": "DNS over HTTPS to", "port.cap": "port outside network.allowed_ports:", "port.class": "port not allowed for this name:", "icmp": "ICMP to",
	"allowlist.default": "not in network.allowed_domains:", "in.new": "new connection from outside to", "dnat.blocked": "redirected to closed address:", "route.not-uplink": "not an uplink:",
	"base.no-policy": "interface without policy, to", "sni.quic": "QUIC, which hides the name, to", "net.metadata": "connection to metadata services at",
	"net.c2-port": "connection to ports of remote control programs at",
}

func what(rule string) string {
	if slug, ok := strings.CutPrefix(rule, "block."); ok {
		return slug + " address"
	}
	if w, ok := words[rule]; ok {
		return w
	}
	return rule
}

// ruleCount compares what the kernel counted with what its log showed.
type ruleCount struct {
	counted, logged uint64
	at              time.Time
}

func (b *Book) ruleOf(rule string) *ruleCount {
	c := b.rules[rule]
	if c == nil {
		c = &ruleCount{}
		b.rules[rule] = c
	}
	return c
}

// Counted takes over how many more packets the kernel's own counter of a rule
// shows.
func (b *Book) Counted(rule string, n uint64, now time.Time) {
	c := b.ruleOf(rule)
	c.counted += n
	c.at = now
}

// settle is how long the log may be behind the counter.
const settle = 2 * time.Second

// Tick closes windows that have ended, and tells by number what the log was too
// slow for.
func (b *Book) Tick(now time.Time) {
	for k, t := range b.kinds {
		if now.Sub(t.since) < window(k.rule) {
			continue
		}
		if t.count == 0 {
			delete(b.kinds, k)
			continue
		}
		r := t.first
		r.ID, r.TS, r.Count, r.Until = "", time.Time{}, t.count, t.last
		if k.dst == (netip.Addr{}) {
			r.Peer, r.Port, r.Name, r.Local, r.Title = "", 0, "", "", what(k.rule)+" many addresses"
			if !k.gone {
				r.Title = "blocked: " + r.Title
			}
		}
		b.sink(b.container, r)
		t.since, t.count = now, 0
	}
	for rule, c := range b.rules {
		if c.counted <= c.logged || now.Sub(c.at) < settle {
			continue
		}
		n := c.counted - c.logged
		c.logged = c.counted
		b.sink(b.container, audit.Record{
			Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryNetwork, Rule: rule, Action: audit.Blocked, Level: coi.Info,
			Title: fmt.Sprintf("blocked: %d more packets, over the rate of the log", n), Count: int(n), Until: c.at,
		})
	}
	b.scan.forget(now)
	b.dns.tick(now)
}

// Flush writes what is open, for the end.
func (b *Book) Flush(now time.Time) { b.Tick(now.Add(24 * time.Hour)) }

// Top is a destination that was refused often.
type Top struct {
	Dest  string `json:"dest"`
	Port  int    `json:"port"`
	Rule  string `json:"rule"`
	Count int    `json:"count"`
}

// Top gives the n destinations refused most often of late.
func (b *Book) Top(n int) []Top {
	out := []Top{}
	for k, t := range b.kinds {
		if !refused(k.rule) || !k.dst.IsValid() {
			continue
		}
		name := k.dst.String()
		if t.first.Name != "" {
			name = t.first.Name
		}
		out = append(out, Top{name, int(k.port), k.rule, t.total})
	}
	slices.SortFunc(out, func(a, b Top) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Dest, b.Dest)
	})
	return out[:min(n, len(out))]
}
