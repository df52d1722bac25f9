package guard

import (
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// flowFilter chooses entries of the kernel's connection table.
type flowFilter func(src, dst netip.Addr, f *netlink.ConntrackFlow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (m flowFilter) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	src, ok1 := netip.AddrFromSlice(f.Forward.SrcIP)
	dst, ok2 := netip.AddrFromSlice(f.Forward.DstIP)
	return ok1 && ok2 && m(src.Unmap(), dst.Unmap(), f)
}

func deleteFlows(m flowFilter, ipv6 bool) error {
	families := []netlink.InetFamily{unix.AF_INET}
	if ipv6 {
		families = append(families, unix.AF_INET6)
	}
	var errs []error
	for _, fam := range families {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, fam, m)
		// A flow that ends by itself while we look is gone, which is what we want.
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tighten ends flows that the container began and that its policy allows no
// longer. A hold ends none: they go on when it is lifted.
func (g *Guard) tighten(b *box, old, now *policy.Policy) {
	if old == nil || old == now {
		return
	}
	var err error
	switch {
	case now.Phase == "closed":
		b.tls.cut(func(*tlsFlow) bool { return false })
		err = g.cutAll(b)
	case now.Held():
		return
	case g.mayForbid(b, old, now):
		err = g.cutForbidden(b, now)
	}
	if !now.Held() {
		g.review(b, now)
	}
	if err != nil {
		g.o.Recorder.Log(b.name, true, "open flows could not be ended: "+err.Error())
	}
}

// mayForbid reports whether a flow that the container began can be one that the
// new policy forbids. The packet path notes where flows went; walking the
// kernel's whole connection table instead takes ten times as long.
func (g *Guard) mayForbid(b *box, old, now *policy.Policy) bool {
	before, _ := old.HostPorts()
	after, _ := now.HostPorts()
	// A note ends a day after its last new flow; the flow itself may go on.
	if b.flowsLost || time.Since(b.made) > policy.FlowLife-time.Hour || before.String() != after.String() {
		return true
	}
	for _, is6 := range []bool{false, true} {
		set := nft.Set{Name: now.Chain("flow4")}
		src := now.V4
		if is6 {
			set.Name, src = now.Chain("flow6"), now.V6
		}
		if g.read.Elems(g.env.Table, &set) != nil || len(set.Elems) >= policy.MaxFlows {
			return true
		}
		for _, e := range set.Elems {
			u, ok := usedFlow(e, is6)
			if !ok {
				return true
			}
			k := policy.Packet{Src: src, Dst: u.dst, Proto: u.proto, Port: u.port, Type: 8}
			if is6 {
				k.Type = 128
			}
			b.mu.Lock()
			d := policy.Decide(now, g.facts, b.names.ever, k)
			b.mu.Unlock()
			if d.Verdict != policy.Pass {
				return true
			}
		}
	}
	return false
}

// noted is an element of a set of flows.
type noted struct {
	dst   netip.Addr
	proto uint8
	port  uint16
}

func usedFlow(e nft.Elem, is6 bool) (noted, bool) {
	n := 4
	if is6 {
		n = 16
	}
	if len(e.Key) < n+8 {
		return noted{}, false
	}
	dst, ok := netip.AddrFromSlice(e.Key[:n])
	u := noted{dst: dst, proto: e.Key[n]}
	if u.proto == unix.IPPROTO_TCP || u.proto == unix.IPPROTO_UDP {
		u.port = uint16(e.Key[n+4])<<8 | uint16(e.Key[n+5])
	}
	return u, ok
}

func (g *Guard) cutForbidden(b *box, p *policy.Policy) error {
	return deleteFlows(func(src, dst netip.Addr, f *netlink.ConntrackFlow) bool {
		if src != p.V4 && src != p.V6 {
			return false
		}
		k := policy.Packet{Src: src, Dst: dst, Proto: f.Forward.Protocol, Port: f.Forward.DstPort, Type: 8}
		if dst.Is6() {
			k.Type = 128
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return policy.Decide(p, g.facts, b.names.ever, k).Verdict != policy.Pass
	}, p.V6.IsValid())
}

// cutAll ends every flow from and to the container.
func (g *Guard) cutAll(b *box) error {
	own := map[netip.Addr]bool{}
	for _, text := range []string{b.status.IPv4, b.status.IPv6} {
		if a, err := netip.ParseAddr(text); err == nil {
			own[a] = true
		}
	}
	if len(own) == 0 {
		return nil
	}
	return deleteFlows(func(src, dst netip.Addr, _ *netlink.ConntrackFlow) bool { return own[src] || own[dst] }, b.status.IPv6 != "")
}
