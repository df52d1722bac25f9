// Package inet reads addresses in every spelling that programs take for one, and
// knows those at which clouds answer their machines with credentials.
package inet

import (
	"net/netip"
	"strconv"
	"strings"
)

// clouds are where clouds answer their machines with credentials. Each has its
// own addresses in the link-local range, so the range is taken whole: instances
// (169.254.169.254), tasks (.170.2), pods (.170.23) and what is added to them.
var clouds = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::/32"),
	netip.MustParsePrefix("fe80::a9fe:a9fe/128"),
}

// Metadata are the ranges in which clouds answer with credentials, of both
// families, with the IPv6 forms that carry the IPv4 ones to a translator.
// They do not overlap.
var Metadata = metadata()

func metadata() []netip.Prefix {
	out := append([]netip.Prefix{}, clouds...)
	for _, p := range clouds {
		if p.Addr().Is4() {
			for _, c := range carriers {
				out = append(out, c.embed(p))
			}
		}
	}
	return out
}

// Gateway is the router and name server of every session, coi's own. It lies in
// the link-local range, and no cloud answers there.
var Gateway = netip.MustParseAddr("169.254.0.1")

// IsMetadata reports whether a is in one of these ranges, and not coi's own.
func IsMetadata(a netip.Addr) bool {
	a = a.WithZone("")
	if a.Unmap() == Gateway {
		return false
	}
	for _, p := range Metadata {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// carrier is an IPv6 prefix whose next 32 bits are an IPv4 address.
type carrier struct{ prefix netip.Prefix }

var carriers = []carrier{
	{netip.MustParsePrefix("::ffff:0:0/96")}, // mapped
	{netip.MustParsePrefix("64:ff9b::/96")},  // NAT64
	{netip.MustParsePrefix("2002::/16")},     // 6to4
}

func (c carrier) embed(p netip.Prefix) netip.Prefix {
	b, v4 := c.prefix.Addr().As16(), p.Addr().As4()
	copy(b[c.prefix.Bits()/8:], v4[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), c.prefix.Bits()+p.Bits())
}

// Literal reads an address in any spelling that programs take for one: what
// inet_aton reads (one to four parts, octal and hexadecimal, full-width digits)
// and every form of IPv6, with brackets or without.
func Literal(text string) (netip.Addr, bool) {
	text = strings.Map(Narrow, text)
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if strings.Contains(text, ":") {
		a, err := netip.ParseAddr(text)
		return a.WithZone("").Unmap(), err == nil
	}
	parts := strings.Split(strings.TrimSuffix(text, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		base := 10
		switch {
		case len(part) > 2 && (part[:2] == "0x" || part[:2] == "0X"):
			part, base = part[2:], 16
		case len(part) > 1 && part[0] == '0':
			base = 8
		}
		n, err := strconv.ParseUint(part, base, 32)
		// The last part fills all bytes that are left.
		room := 8
		if i == len(parts)-1 {
			room = 8 * (4 - i)
		}
		if err != nil || n >= 1<<room {
			return netip.Addr{}, false
		}
		sum = sum<<room | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// Narrow maps full-width digits and dots to their ASCII forms.
func Narrow(r rune) rune {
	switch {
	case r >= '０' && r <= '９':
		return r - '０' + '0'
	case r == '。' || r == '．' || r == '｡':
		return '.'
	}
	return r
}
