package dest

import (
	"net/netip"
	"unicode"
)

// Reach says on whose word an address range may be opened.
type Reach int

// Public addresses may be named by anybody, Soft ranges by the user, Hard
// ranges by nobody.
const (
	Public Reach = iota
	Soft
	Hard
)

// Range is a block of addresses that is closed unless its Reach says otherwise.
type Range struct {
	Slug   string
	Reach  Reach
	Prefix netip.Prefix
}

// Ranges lists the closed blocks, hard ones first. The prefixes on the host's
// own links come on top; only the guard knows them.
var Ranges = ranges()

func ranges() []Range {
	table := []struct {
		slug     string
		reach    Reach
		prefixes []string
	}{
		{"this-net", Hard, []string{"0.0.0.0/8", "::/128"}},
		{"loopback", Hard, []string{"127.0.0.0/8", "::1/128"}},
		{"link-local", Hard, []string{"169.254.0.0/16", "fe80::/10"}},
		{"metadata", Hard, []string{"168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"}},
		{"reserved", Hard, []string{"192.0.0.0/24", "2001::/23", "100::/64"}},
		{"multicast", Hard, []string{"224.0.0.0/4", "ff00::/8"}},
		{"class-e", Hard, []string{"240.0.0.0/4"}},
		{"sixtofour", Hard, []string{"192.88.99.0/24", "2002::/16"}},
		{"mapped", Hard, []string{"::ffff:0:0/96", "::/96", "64:ff9b:1::/48"}},
		{"v6-other", Hard, []string{"5f00::/16", "fec0::/10"}},
		{"private", Soft, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}},
		{"cgnat", Soft, []string{"100.64.0.0/10"}},
		{"benchmark", Soft, []string{"198.18.0.0/15"}},
	}
	var out []Range
	for _, t := range table {
		for _, p := range t.prefixes {
			out = append(out, Range{t.slug, t.reach, netip.MustParsePrefix(p)})
		}
	}
	return out
}

// nat64 carries IPv4 addresses in its last 32 bits, so what those reach decides.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// global holds every IPv6 address that is routed; what is outside it and in no
// other range is closed.
var global = netip.MustParsePrefix("2000::/3")

// ReachOf is the strictest reach of any address in p, and the slug of the range that
// decides; the slug is empty for public addresses. A single address that
// carries an IPv4 address is judged by that address as well.
func ReachOf(p netip.Prefix) (Reach, string) {
	if nat64.Overlaps(p) {
		if p.Bits() < 128 {
			return Hard, "mapped"
		}
		b := p.Addr().As16()
		return ReachOf(netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:])), 32))
	}
	reach, slug := Public, ""
	for _, r := range Ranges {
		if r.Prefix.Overlaps(p) && r.Reach > reach {
			reach, slug = r.Reach, r.Slug
		}
	}
	if reach == Public && p.Addr().Is6() && !global.Contains(p.Addr()) {
		return Hard, "v6-other"
	}
	return reach, slug
}

// mixed reports whether a label of name uses letters of more than one script;
// Han, Hiragana, Katakana and Bopomofo, Hangul go together.
func mixed(name string) bool {
	script := ""
	for _, r := range name {
		if r == '.' {
			script = ""
			continue
		}
		s := scriptOf(r)
		if s == "" {
			continue
		}
		if script != "" && s != script {
			return true
		}
		script = s
	}
	return false
}

func scriptOf(r rune) string {
	if r < 0x80 {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return "Latin"
		}
		return ""
	}
	if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul) {
		return "CJK"
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
