package guard

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
		err = g.cutAll(b)
	case now.Held():
		return
	default:
		err = g.cutForbidden(b, now)
	}
	if err != nil {
		g.o.Recorder.Log(b.name, true, "open flows could not be ended: "+err.Error())
	}
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
