package policy

import (
	"net/netip"
	"slices"

	"github.com/code-on-incus/coi/pkg/dest"
)

// span is a range of addresses of one family, both ends inside.
type span struct {
	from, to netip.Addr
	slug     string
	reach    dest.Reach
	prio     int
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	metadata4 = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}
	metadata6 = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254")}
)

// IsMetadata reports whether a is one of the metadata addresses that
// network.block_metadata_endpoint opens. What is told of is wider: inet.Metadata.
func IsMetadata(a netip.Addr) bool {
	return slices.Contains(metadata4, a) || slices.Contains(metadata6, a)
}

// closed are the special ranges of both families as disjoint spans, so that an
// interval map can hold them. Where two overlap the stricter one wins.
var (
	closed4 = flatten(false, nil)
	closed6 = flatten(true, closed4)
)

func flatten(v6 bool, carried []span) []span {
	var list []span
	add := func(p netip.Prefix, slug string, reach dest.Reach, prio int) {
		list = append(list, span{p.Masked().Addr(), last(p), slug, reach, prio})
	}
	for _, r := range dest.Ranges {
		if r.Prefix.Addr().Is6() != v6 {
			continue
		}
		// A longer prefix names its range better than the one around it.
		prio := r.Prefix.Bits()
		if r.Reach == dest.Hard {
			prio += 1000
		}
		add(r.Prefix, r.Slug, r.Reach, prio)
	}
	if v6 {
		for _, p := range []string{"::/3", "4000::/2", "8000::/1"} {
			add(netip.MustParsePrefix(p), "v6-other", dest.Hard, -1)
		}
		// Addresses that carry a closed IPv4 address are closed; the others of that prefix are not.
		add(nat64, "", dest.Public, 0)
		for _, s := range carried {
			list = append(list, span{embed(s.from), embed(s.to), "mapped", dest.Hard, 5000})
		}
	}
	return disjoint(list)
}

func embed(a netip.Addr) netip.Addr {
	b, v4 := nat64.Addr().As16(), a.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}

// disjoint cuts spans at every edge and keeps for each piece the one of highest
// priority. Public pieces are left out.
func disjoint(list []span) []span {
	var cuts []netip.Addr
	for _, s := range list {
		cuts = append(cuts, s.from)
		if n := s.to.Next(); n.IsValid() {
			cuts = append(cuts, n)
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	var out []span
	for i, from := range cuts {
		to := lastAddr(from)
		if i+1 < len(cuts) {
			to = cuts[i+1].Prev()
		}
		best := -1
		for j, s := range list {
			if s.from.Compare(from) <= 0 && to.Compare(s.to) <= 0 && (best < 0 || s.prio > list[best].prio) {
				best = j
			}
		}
		if best < 0 || list[best].slug == "" {
			continue
		}
		piece := span{from, to, list[best].slug, list[best].reach, 0}
		if n := len(out); n > 0 && out[n-1].slug == piece.slug && out[n-1].to.Next() == from {
			out[n-1].to = to
			continue
		}
		out = append(out, piece)
	}
	return out
}

func lastAddr(a netip.Addr) netip.Addr {
	return last(netip.PrefixFrom(a, 0))
}

func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// rangeOf finds the closed range an address is in.
func rangeOf(a netip.Addr) (slug string, reach dest.Reach) {
	list := closed4
	if a.Is6() {
		list = closed6
	}
	i, found := slices.BinarySearchFunc(list, a, func(s span, a netip.Addr) int {
		switch {
		case s.to.Less(a):
			return -1
		case a.Less(s.from):
			return 1
		}
		return 0
	})
	if !found {
		return "", dest.Public
	}
	return list[i].slug, list[i].reach
}

// RangeOf finds the closed range an address is in: its slug, and whether no
// setting can open it. The slug is empty for public addresses.
func RangeOf(a netip.Addr) (slug string, hard bool) {
	s, reach := rangeOf(a)
	return s, reach == dest.Hard
}
