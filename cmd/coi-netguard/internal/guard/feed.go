package guard

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// books are the event books of all containers, shared by the packet log, the
// name server and the loop.
type books struct {
	mu      sync.Mutex
	byName  map[string]*events.Book
	byIndex map[uint32]*box
	stirred atomic.Bool // something was logged since the counters were read
}

func (g *Guard) book(container string) *events.Book {
	b := g.books.byName[container]
	if b == nil {
		b = events.NewBook(container, func(c string, r audit.Record) { g.o.Recorder.Append(c, r) })
		g.books.byName[container] = b
	}
	return b
}

// listen starts the packet log. Without it rules hold all the same; what they
// refuse is then only counted.
func (g *Guard) listen(ctx context.Context) {
	feed, err := packets.Open(g.env.Group)
	if err != nil {
		g.problem("packets", err.Error())
		return
	}
	g.feed = feed
	if err := feed.Run(ctx, g.packet); err != nil {
		g.problem("packets", "packet log: "+err.Error())
	}
}

// packet runs on the goroutine of the packet log.
func (g *Guard) packet(p packets.Packet) {
	if do := g.observer.Load(); do != nil {
		(*do)(p)
	}
	index := p.In
	if p.Rule == "in.new" {
		index = p.Out
	}
	g.books.mu.Lock()
	b := g.books.byIndex[index]
	g.books.mu.Unlock()
	if b == nil {
		return
	}
	g.books.stirred.Store(true)
	if p.Rule == "flow" {
		b.flow(p)
		return
	}
	names := func(a netip.Addr) []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.names.nameOf(a)
	}
	g.books.mu.Lock()
	defer g.books.mu.Unlock()
	g.book(b.name).Packet(p, g.factsNow(), names)
}

// factsNow is the host's network as other goroutines may see it.
func (g *Guard) factsNow() *policy.Facts { return g.shared.Load() }

// Flow is a new connection that was let through.
type Flow struct {
	Seq   uint64    `json:"seq"`
	At    time.Time `json:"at"`
	Proto string    `json:"proto"`
	Peer  string    `json:"peer"`
	Port  uint16    `json:"port"`
	Name  string    `json:"name,omitempty"`
}

// maxRecent is how many new flows the view holds for those who look on.
const maxRecent = 128

func (b *box) flow(p packets.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flowSeq++
	f := Flow{Seq: b.flowSeq, At: p.At.UTC(), Proto: packets.ProtoName(p.Proto), Peer: p.Dst.String(), Port: p.Port}
	if n := b.names.nameOf(p.Dst); len(n) > 0 {
		f.Name = n[0]
	}
	if b.recent = append(b.recent, f); len(b.recent) > maxRecent {
		b.recent = b.recent[len(b.recent)-maxRecent:]
	}
	b.viewDue = true
}

// indexed notes which interface index is which container.
func (g *Guard) indexed() {
	g.books.mu.Lock()
	defer g.books.mu.Unlock()
	g.books.byIndex = map[uint32]*box{}
	for _, b := range g.boxes {
		if b.index != 0 {
			g.books.byIndex[uint32(b.index)] = b
		}
	}
}

// second is done every second: counters when something was refused, ends of
// windows, views that have changed.
func (g *Guard) second() {
	now := time.Now()
	if g.books.stirred.Swap(false) || now.Sub(g.counted) > rescanEvery {
		g.count()
		g.counted = now
	}
	if g.feed != nil {
		g.state.Lost = g.feed.Lost()
	}
	g.books.mu.Lock()
	for _, b := range g.books.byName {
		b.Tick(now)
	}
	g.books.mu.Unlock()
	for _, b := range g.boxes {
		g.writeView(b, now)
	}
}

// count reads the kernel's counters of refused packets: they are exact, whatever
// the log's rate lets through.
func (g *Guard) count() {
	byVeth := map[string]*box{}
	for _, b := range g.boxes {
		byVeth[b.veth()] = b
	}
	changed := map[*box]bool{}
	for _, rule := range policy.Rules() {
		set := nft.Set{Name: "n_" + rule, Key: []nft.Type{nft.IfName}}
		if err := g.read.Elems(g.env.Table, &set); err != nil {
			return // the table is gone: the check that follows repairs it
		}
		for _, e := range set.Elems {
			b := byVeth[nft.Unpad(e.Key)]
			if b == nil {
				continue
			}
			if n := b.add(rule, e.Packets); n > 0 {
				changed[b] = true
				g.books.mu.Lock()
				g.book(b.name).Counted(rule, n, time.Now())
				g.books.mu.Unlock()
			}
		}
	}
	for b := range changed {
		g.writeStatus(b)
		b.touch()
	}
}

// add takes over a counter and gives what came on top.
func (b *box) add(rule string, packets uint64) uint64 {
	n := packets - b.kernel[rule]
	if packets < b.kernel[rule] {
		n = packets // the table was written anew
	}
	b.kernel[rule] = packets
	b.status.Denied[rule] += int(n)
	b.status.Dropped += n
	return n
}

func (b *box) touch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.viewDue = true
}

// found records a finding about a container, or about all.
func (g *Guard) found(container, rule string, level coi.Level, title, description string, evidence map[string]any) {
	g.o.Recorder.Append(container, audit.Record{
		Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryNetwork, Rule: rule, Level: level, Action: audit.Alerted,
		Title: title, Description: description, Evidence: evidence,
	})
}

// Seen implements resolve.Guard.
func (g *Guard) Seen(q resolve.Query) {
	var c *client
	for _, x := range *g.views.Load() {
		if x.view.Policy.Container == q.Container {
			c = x
			break
		}
	}
	if c == nil {
		return
	}
	c.box.counts.dns(q)
	c.box.touch()
	if why := unresolved[q.Result]; why != "" && c.view.Policy.Mode == policy.Allowlist && c.box.failing.news(q.Name, time.Now()) {
		g.o.Recorder.Log(q.Container, true, "allowlist refresh failed: "+q.Name+": "+why)
	}
	ev := c.view.Policy.Events
	if ev.LogDNS {
		g.o.Recorder.Query(q)
	}
	g.books.mu.Lock()
	defer g.books.mu.Unlock()
	g.book(q.Container).Query(q, time.Now(), ev.DNSThreshold)
}

// Observe has do called with every logged packet besides what the guard does
// with it; nil ends that. do must not wait.
func (g *Guard) Observe(do func(packets.Packet)) {
	if do == nil {
		g.observer.Store(nil)
		return
	}
	g.observer.Store(&do)
}

// Facts are the host's network as the rules have it now.
func (g *Guard) Facts() *policy.Facts { return g.shared.Load() }
