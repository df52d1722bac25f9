package resolve

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// FuzzAnswer (T-NG-44, R-OWN-02): any packet from upstream is filtered without a crash,
// and no closed address passes.
func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	m.Response = true
	for _, text := range []string{"www.example.com. 60 IN CNAME a.test.", "a.test. 60 IN A 10.0.0.1", "a.test. 0 IN A 198.51.100.1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	v := &View{Policy: &policy.Policy{Mode: policy.Restricted, BlockPrivate: true}, Facts: &policy.Facts{}}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		life(m)
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME} {
			answer, addrs, _, ok := chain(m, &Query{Name: "www.example.com", Type: typ})
			if !ok {
				continue
			}
			good, _ := sift(v, addrs)
			for _, a := range good {
				if slug, _ := policy.RangeOf(a); slug != "" {
					t.Fatalf("%s passed", a)
				}
			}
			for _, rr := range keep(answer, good, 60) {
				if a, is := address(rr); is {
					if slug, _ := policy.RangeOf(a); slug != "" {
						t.Fatalf("%s was told", a)
					}
				}
			}
		}
	})
}
