package resolve

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/run"
)

// zone is what run.ProbeZone holds. The public address is one of documentation:
// nobody is there.
var zone = map[string]netip.Addr{
	"open": netip.MustParseAddr("198.51.100.80"), "other": netip.MustParseAddr("198.51.100.81"),
	"private": netip.MustParseAddr("10.0.0.1"), "metadata": netip.MustParseAddr("169.254.169.254"),
}

// ownZone is the upstream's answer for names of run.ProbeZone asked by a probe
// container; it goes through the same filter as any other. nil: not such a name.
func ownZone(v *View, q *Query) *dns.Msg {
	if !run.IsProbe(v.Policy.Container) || !strings.HasSuffix(q.Name, "."+run.ProbeZone) {
		return nil
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.Name), q.Type)
	m.Response = true
	addr, known := zone[strings.TrimSuffix(q.Name, "."+run.ProbeZone)]
	if !known {
		m.Rcode = dns.RcodeNameError
		return m
	}
	if rr := record(dns.Fqdn(q.Name), addr, 60); rr.Header().Rrtype == q.Type {
		m.Answer = append(m.Answer, rr)
	}
	return m
}
