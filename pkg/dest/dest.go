// Package dest reads network destinations as users write them in
// network.allowed_domains: a name, a wildcard, an address or a prefix, each with
// optional ports. It also knows the address ranges that are never, or only on
// the user's own word, reachable.
package dest

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/code-on-incus/coi/pkg/inet"
)

// Dest is one destination. Either Name or Prefix is set.
type Dest struct {
	Name     string       // lower-case A-labels without final dot
	Wildcard bool         // every name below Name, at any depth, but not Name itself
	Prefix   netip.Prefix // masked; a single address has /32 or /128
	Ports    []Ports      // sorted and joined; empty: no ports were written
	Shared   bool         // a wildcard over a suffix where strangers register names
	Mixed    bool         // a label mixes scripts and may imitate another name
}

// Error says what is wrong with an entry and, in Hint, which form works.
type Error struct{ Entry, Problem, Hint string }

func (e *Error) Error() string { return fmt.Sprintf("%q: %s", e.Entry, e.Problem) }

const maxEntry = 1024

// Parse reads one entry. Errors are of type *Error.
func Parse(entry string) (Dest, error) {
	fail := func(hint, format string, a ...any) (Dest, error) {
		return Dest{}, &Error{entry, fmt.Sprintf(format, a...), hint}
	}
	if entry == "" {
		return fail("write a name such as api.example.com", "empty")
	}
	if len(entry) > maxEntry {
		return fail("", "over %d characters", maxEntry)
	}
	if !utf8.ValidString(entry) {
		return fail("", "not UTF-8 text")
	}
	if i := strings.IndexFunc(entry, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return fail("one destination an entry", "spaces and control characters are not allowed")
	}
	if _, rest, ok := strings.Cut(entry, "://"); ok {
		return fail("write "+bare(rest), "a scheme is not part of a destination")
	}
	if _, rest, ok := strings.Cut(entry, "@"); ok {
		return fail("write "+bare(rest), "a user is not part of a destination")
	}
	host, portText, err := split(entry)
	if err != "" {
		return fail("an IPv6 address with ports is written [2001:db8::1]:443", "%s", err)
	}
	d := Dest{}
	if portText != nil {
		ports, perr := parsePorts(*portText)
		if perr != nil {
			return fail("ports are 443, 80,443 or 8000-8100", "%s", perr)
		}
		d.Ports = ports
	}
	if e := d.host(host); e != nil {
		return fail(e.Hint, "%s", e.Problem)
	}
	return d, nil
}

// bare is what is left of a URL when everything but the name is taken off.
func bare(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	s, _, _ = strings.Cut(s, "/")
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	return strings.ToLower(s)
}

// split takes host and ports apart; ports is nil when there is no colon for them.
func split(entry string) (host string, ports *string, problem string) {
	if rest, ok := strings.CutPrefix(entry, "["); ok {
		in, after, closed := strings.Cut(rest, "]")
		if !closed {
			return "", nil, "a bracket is not closed"
		}
		if !strings.Contains(in, ":") {
			return "", nil, "brackets are for IPv6 addresses only"
		}
		if after == "" {
			return in, nil, ""
		}
		p, ok := strings.CutPrefix(after, ":")
		if !ok {
			return "", nil, "only :PORTS may follow the bracket"
		}
		return in, &p, ""
	}
	if strings.Count(entry, ":") > 1 { // an IPv6 literal, which takes no ports without brackets
		return entry, nil, ""
	}
	h, p, ok := strings.Cut(entry, ":")
	if !ok {
		return entry, nil, ""
	}
	return h, &p, ""
}

func (d *Dest) host(host string) *Error {
	if strings.Contains(host, ":") {
		return d.literal(host)
	}
	addr, _, slash := strings.Cut(host, "/")
	if numeric(addr) {
		return d.literal(host)
	}
	if slash {
		return &Error{Problem: "a path is not part of a destination", Hint: "write " + bare(host)}
	}
	return d.name(host)
}

// numeric reports whether some program could take s for an IPv4 address: its
// last label is a number, in any of the spellings that inet_aton accepts.
func numeric(s string) bool {
	s = strings.TrimSuffix(strings.Map(inet.Narrow, s), ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	if rest, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func (d *Dest) literal(text string) *Error {
	addrText, lenText, hasLen := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(addrText)
	if err != nil || addr.Zone() != "" || addr.Is4In6() || addr.Is4() && addr.String() != addrText {
		return &Error{Problem: "not a canonical address", Hint: "write 192.0.2.7, 198.51.100.0/24 or 2001:db8::1"}
	}
	bits := addr.BitLen()
	if hasLen {
		n, ok := number(lenText, addr.BitLen())
		if !ok {
			return &Error{Problem: fmt.Sprintf("%q is no prefix length", lenText), Hint: "write 198.51.100.0/24"}
		}
		bits = n
	}
	if least := map[int]int{32: 8, 128: 16}[addr.BitLen()]; bits < least {
		return &Error{Problem: fmt.Sprintf("a prefix shorter than /%d", least), Hint: `for the whole internet set network.mode = "restricted"`}
	}
	d.Prefix = netip.PrefixFrom(addr, bits)
	if d.Prefix.Masked() != d.Prefix {
		return &Error{Problem: "bits are set behind the prefix length", Hint: "write " + d.Prefix.Masked().String()}
	}
	return nil
}

func (d *Dest) name(host string) *Error {
	name, wild := strings.CutPrefix(host, "*.")
	if strings.Contains(name, "*") || host == "*" {
		hint := "a wildcard is written *.example.com"
		if host == "*" {
			hint = `for every name set network.mode = "restricted"`
		}
		return &Error{Problem: "a star stands only for whole labels at the start", Hint: hint}
	}
	ascii, problem := toASCII(name)
	if problem != "" {
		return &Error{Problem: problem, Hint: "write a name such as api.example.com"}
	}
	d.Name, d.Wildcard, d.Mixed = ascii, wild, mixed(name)
	if !wild {
		return nil
	}
	suffix, icann := publicsuffix.PublicSuffix(ascii)
	if suffix != ascii {
		return nil
	}
	if icann || !strings.Contains(ascii, ".") {
		return &Error{Problem: "a wildcard over a whole public suffix", Hint: "write *.example." + ascii}
	}
	d.Shared = true
	return nil
}

var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

func toASCII(name string) (ascii, problem string) {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", "an empty name"
	}
	a, err := profile.ToASCII(name)
	if err != nil {
		return "", "not a domain name"
	}
	a = strings.ToLower(strings.TrimSuffix(a, "."))
	// A name that converts to something else a second time has two readings.
	if again, err := profile.ToASCII(a); err != nil || again != a {
		return "", "not a domain name"
	}
	if len(a) > 253 {
		return "", "a name over 253 characters"
	}
	if numeric(a) {
		return "", "not a canonical address"
	}
	for label := range strings.SplitSeq(a, ".") {
		switch {
		case label == "":
			return "", "an empty label"
		case len(label) > 63:
			return "", "a label over 63 characters"
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return "", fmt.Sprintf("%q holds characters that no name has", label)
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", fmt.Sprintf("label %q starts or ends with a hyphen", label)
		}
	}
	return a, ""
}

// Host is the destination without its ports, as it is written.
func (d Dest) Host() string {
	switch {
	case d.Prefix.IsValid() && d.Prefix.IsSingleIP():
		return d.Prefix.Addr().String()
	case d.Prefix.IsValid():
		return d.Prefix.String()
	case d.Wildcard:
		return "*." + d.Name
	}
	return d.Name
}

// String is the normal spelling: what Parse accepts and gives back unchanged.
func (d Dest) String() string {
	host := d.Host()
	if len(d.Ports) == 0 {
		return host
	}
	if d.Prefix.IsValid() && d.Prefix.Addr().Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + JoinPorts(d.Ports)
}

// Covers reports whether everything that o reaches, d reaches as well. No
// ports written counts as all ports.
func (d Dest) Covers(o Dest) bool {
	if !CoverPorts(d.Ports, o.Ports) {
		return false
	}
	if d.Prefix.IsValid() || o.Prefix.IsValid() {
		return d.Prefix.IsValid() && o.Prefix.IsValid() && d.Prefix.Bits() <= o.Prefix.Bits() && d.Prefix.Contains(o.Prefix.Addr())
	}
	if !d.Wildcard {
		return !o.Wildcard && d.Name == o.Name
	}
	return strings.HasSuffix(o.Name, "."+d.Name) || o.Wildcard && o.Name == d.Name
}
