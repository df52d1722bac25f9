package guard

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/dest"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// maxNames bounds the index of one container; it is the size of the map in the kernel.
const maxNames = 65536

// keepFor is how long a name is remembered after its address has closed: old
// flows to it are still judged, and shown, by it.
const keepFor = time.Hour

// opened is one address: the names that led to it and until when it is open.
type opened struct {
	names   map[string]policy.Ports
	class   int
	expires time.Time // monotonic
	inMap   bool      // the kernel's map has it
}

// names is the index address → names of one container.
type names struct {
	addrs   map[netip.Addr]*opened
	classes []policy.Ports
	adopted string // entries of the policy under which unnamed addresses were taken over
}

// unnamed stands for the names of an address that an earlier guard opened and
// did not get to write down.
const unnamed = ""

// entriesOf tells two policies apart by what they allow and deny.
func entriesOf(p *policy.Policy) string {
	var b strings.Builder
	b.WriteString(p.Mode)
	for _, list := range [][]policy.Entry{p.Allow, p.Deny} {
		b.WriteByte('|')
		for _, e := range list {
			b.WriteString(e.Dest.String() + " ")
		}
	}
	return b.String()
}

func newNames() *names { return &names{addrs: map[netip.Addr]*opened{}} }

// class finds or makes the class of a port list.
func (n *names) class(ports policy.Ports) int {
	for i, c := range n.classes {
		if slices.Equal(c, ports) {
			return i
		}
	}
	n.classes = append(n.classes, ports)
	return len(n.classes) - 1
}

// classesFor are the classes to build: those of the entries of p by themselves
// and those that addresses already have. Numbers never change, so that the
// elements in the kernel keep their meaning.
func (n *names) classesFor(p *policy.Policy) []policy.Ports {
	for _, e := range p.Allow {
		if e.Dest.Name != "" {
			n.class(e.Ports)
		}
	}
	return slices.Clone(n.classes)
}

func union(names map[string]policy.Ports) policy.Ports {
	var all policy.Ports
	for _, p := range names {
		if len(p) == 0 {
			return nil
		}
		all = append(all, p...)
	}
	return dest.Normal(all)
}

// find gives the ports an address is open for now.
func (n *names) find(a netip.Addr, now time.Time) (policy.Ports, bool) {
	o, ok := n.addrs[a]
	if !ok || len(o.names) == 0 || now.After(o.expires) {
		return nil, false
	}
	return union(o.names), true
}

// ever is find, whether or not the address has closed since.
func (n *names) ever(a netip.Addr) (policy.Ports, bool) {
	o, ok := n.addrs[a]
	if !ok || len(o.names) == 0 {
		return nil, false
	}
	return union(o.names), true
}

// nameOf lists the names that led to an address.
func (n *names) nameOf(a netip.Addr) []string {
	o, ok := n.addrs[a]
	if !ok {
		return nil
	}
	var out []string
	for name := range o.names {
		if name != unnamed {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// revalue gives every name the ports of a new policy and forgets those it no
// longer allows. In other modes than allowlist names only serve to explain.
func (n *names) revalue(p *policy.Policy) {
	if p.Mode != policy.Allowlist {
		return
	}
	same := n.adopted == entriesOf(p)
	for _, o := range n.addrs {
		for name := range o.names {
			if name == unnamed && same {
				continue
			}
			ports, _, ok := p.NamePorts(name)
			if !ok {
				delete(o.names, name)
			} else {
				o.names[name] = ports
			}
		}
	}
}

// drop forgets addresses that have no name left.
func (n *names) drop() {
	for a, o := range n.addrs {
		if len(o.names) == 0 {
			delete(n.addrs, a)
		}
	}
}

// restore takes over what an earlier guard knew.
func (n *names) restore(list []NameView, now time.Time) {
	for _, v := range list {
		a, err := netip.ParseAddr(v.Addr)
		left := v.Expires.Sub(now)
		if err != nil || left <= 0 || left > 25*time.Hour || len(n.addrs) >= maxNames {
			continue
		}
		o := &opened{names: map[string]policy.Ports{}, expires: now.Add(left)}
		for _, name := range v.Names {
			o.names[name] = nil
		}
		n.addrs[a] = o
	}
}

// prune forgets what closed long ago.
func (n *names) prune(now time.Time) {
	for a, o := range n.addrs {
		if now.Sub(o.expires) > keepFor {
			delete(n.addrs, a)
		}
	}
}

// open counts the addresses that are open now.
func (n *names) open(now time.Time) (count int) {
	for _, o := range n.addrs {
		if now.Before(o.expires) {
			count++
		}
	}
	return count
}

// elem is an address as an element of the map.
func elem(p *policy.Policy, a netip.Addr, class int, left time.Duration) nft.Elem {
	return nft.Elem{Key: a.AsSlice(), Goto: p.ClassChain(class), Timeout: uint64(left.Milliseconds())}
}
