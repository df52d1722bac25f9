package guard

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// View is run/<c>.net.view.json: what the client verbs show.
type View struct {
	SchemaVersion int           `json:"schema_version"`
	Container     string        `json:"container"`
	Number        int           `json:"number"`
	Agrees        bool          `json:"agrees"` // the kernel held the wanted rules when they were last read
	ReadAt        time.Time     `json:"read_at"`
	Rules         string        `json:"rules"`  // as last read back
	Wanted        string        `json:"wanted"` // as they should be
	Shared        string        `json:"shared"` // the part of the table all containers share, as last read back
	Table         string        `json:"table"`
	Top           []events.Top  `json:"top"`
	Facts         *policy.Facts `json:"facts"`
	Names         []NameView    `json:"names"`
	Used          []Used        `json:"used"`
	Recent        []Flow        `json:"recent"`
}

// NameView is one address and the names that opened it.
type NameView struct {
	Addr    string    `json:"addr"`
	Names   []string  `json:"names"`
	Ports   []string  `json:"ports"`
	Expires time.Time `json:"expires"`
	Open    bool      `json:"open"`
}

// Used is a destination that flows went to since the container started.
type Used struct {
	Proto string   `json:"proto"`
	Addr  string   `json:"addr"`
	Port  uint16   `json:"port"`
	Names []string `json:"names"`
	Flows uint64   `json:"flows"`
	Bytes uint64   `json:"bytes"` // sent to the address, all ports together
}

const maxShown = 10000

// writeView writes the view of a container that has changed, at most once a second.
func (g *Guard) writeView(b *box, now time.Time) {
	b.mu.Lock()
	due := b.viewDue && now.Sub(b.viewAt) >= time.Second && b.policy != nil && b.part != nil
	if due {
		b.viewDue, b.viewAt = false, now
	}
	b.mu.Unlock()
	if !due {
		return
	}
	v := View{SchemaVersion: run.Schema, Container: b.name, Number: b.policy.N, Agrees: b.status.InForce, ReadAt: b.status.CheckedAt, Facts: g.facts, Used: g.used(b)}
	g.books.mu.Lock()
	v.Top = g.book(b.name).Top(5)
	g.books.mu.Unlock()
	b.mu.Lock()
	v.Shared, v.Table = g.sharedText, g.env.Table
	v.Rules, v.Recent = b.rules, slices.Clone(b.recent)
	v.Wanted = partText(b.part)
	for a, o := range b.names.addrs {
		if len(v.Names) == maxShown {
			break
		}
		n := NameView{Addr: a.String(), Names: b.names.nameOf(a), Expires: o.expires.UTC().Round(0), Open: now.Before(o.expires)}
		for _, r := range union(o.names) {
			n.Ports = append(n.Ports, r.String())
		}
		v.Names = append(v.Names, n)
	}
	b.mu.Unlock()
	if err := run.Write(g.path(b.name, run.NetViewFile), &v); err != nil {
		g.problem("view", "view cannot be written: "+err.Error())
		return
	}
	g.solve("view")
}

func partText(p *policy.Part) string {
	t := nft.Table{Name: "part", Chains: p.Chains, Sets: p.Sets}
	return t.Body()
}

// used reads the flows that the packet path noted.
func (g *Guard) used(b *box) (out []Used) {
	for _, is6 := range []bool{false, true} {
		n, alen := "4", 4
		if is6 {
			n, alen = "6", 16
		}
		flows := nft.Set{Name: b.policy.Chain("flow" + n)}
		sent := nft.Set{Name: b.policy.Chain("out" + n)}
		if g.read.Elems(g.env.Table, &flows) != nil || g.read.Elems(g.env.Table, &sent) != nil {
			continue
		}
		bytes := map[string]uint64{}
		for _, e := range sent.Elems {
			bytes[string(e.Key)] = e.Bytes
		}
		for _, e := range flows.Elems {
			if len(e.Key) < alen+8 {
				continue
			}
			a, _ := netip.AddrFromSlice(e.Key[:alen])
			u := Used{Proto: packets.ProtoName(e.Key[alen]), Addr: a.String(), Flows: e.Packets, Bytes: bytes[string(e.Key[:alen])]}
			if e.Key[alen] == unix.IPPROTO_TCP || e.Key[alen] == unix.IPPROTO_UDP {
				u.Port = uint16(e.Key[alen+4])<<8 | uint16(e.Key[alen+5])
			}
			b.mu.Lock()
			u.Names = b.names.nameOf(a)
			b.mu.Unlock()
			out = append(out, u)
		}
	}
	return out
}
