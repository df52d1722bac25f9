package policy

import (
	_ "embed"
	"net/netip"
	"strings"
)

//go:embed doh.txt
var dohText string

// DoH are the addresses of resolvers that answer DNS over HTTPS for anybody (doh.txt).
var DoH = readDoH(dohText).addrs

// DoHNames are their names.
var DoHNames = readDoH(dohText).names

type resolvers struct {
	addrs []netip.Addr
	names map[string]bool
}

func readDoH(text string) resolvers {
	var addrs []netip.Addr
	names := map[string]bool{}
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
	return resolvers{addrs, names}
}
