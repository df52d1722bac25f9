package detect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/inet"
)

// TestMayHaveAddress: the quick look lets no spelling of an address pass that the
// search behind it would find.
func TestMayHaveAddress(t *testing.T) {
	for _, p := range inet.Metadata {
		if !p.Addr().Is4() {
			continue
		}
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			b := a.As4()
			n := binary.BigEndian.Uint32(b[:])
			for _, form := range []string{
				fmt.Sprint(n), fmt.Sprintf("%d.%d", n>>24, n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff), a.String(),
				fmt.Sprintf("%#o", n), fmt.Sprintf("%#x", n), fmt.Sprintf("%#o.%d", n>>24, n&0xffffff), fmt.Sprintf("%d.%#x", n>>24, n&0xffffff),
			} {
				if got, ok := inet.Literal(form); !ok || got != a {
					t.Fatalf("Literal(%q) = %v, %v; want %s", form, got, ok, a)
				}
				if !mayHaveAddress(form) && inet.IsMetadata(a) {
					t.Errorf("mayHaveAddress(%q) = false", form)
				}
			}
		}
	}
	for _, p := range inet.Metadata {
		if p.Addr().Is4() {
			continue
		}
		b := p.Addr().As16()
		for i := p.Bits() / 8; i < 16; i++ {
			b[i] = 0xaa // the least digits that can follow
		}
		a := netip.AddrFrom16(b)
		var groups []string
		for i := 0; i < 16; i += 2 {
			groups = append(groups, fmt.Sprintf("%x", binary.BigEndian.Uint16(b[i:])))
		}
		for _, form := range []string{a.String(), strings.Join(groups, ":"), strings.Join(groups[:6], ":") + fmt.Sprintf(":%d.%d.%d.%d", b[12], b[13], b[14], b[15]), strings.Join(groups[:6], ":") + ":1.1.1.1"} {
			if !mayHaveAddress("http://[" + form + "]/") {
				t.Errorf("mayHaveAddress(%q) = false", form)
			}
		}
	}
}
