package policy

import (
	_ "embed"
	"net/netip"
	"strings"
)

//go:embed doh.txt
var dohText string

// DoH are the addresses, DoHNames the names of resolvers that answer DNS over
// HTTPS for anybody (doh.txt).
var DoH, DoHNames = readDoH(dohText)

func readDoH(text string) (addrs []netip.Addr, names map[string]bool) {
	names = map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			if a, err := netip.ParseAddr(word); err == nil {
				addrs = append(addrs, a)
			} else {
				names[word] = true
			}
		}
	}
	return addrs, names
}
