package policy_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// TestRanges (T-NG-20, R-NET-06): every range of the table is closed at both its ends, and
// judged as the shared table of ranges judges it.
func TestRanges(t *testing.T) {
	for _, r := range dest.Ranges {
		for _, a := range []netip.Addr{r.Prefix.Addr(), last(r.Prefix)} {
			slug, hard := policy.RangeOf(a)
			reach, _ := dest.ReachOf(netip.PrefixFrom(a, a.BitLen()))
			if slug == "" || hard != (reach == dest.Hard) {
				t.Errorf("%s (%s): %q hard %v; the table says %v", a, r.Slug, slug, hard, reach)
			}
		}
	}
	for _, a := range []string{"1.1.1.1", "198.51.100.1", "192.0.2.1", "203.0.113.1", "2001:db8::1", "2606:4700::1", "64:ff9b::c633:6401", "172.32.0.1", "100.128.0.1", "11.0.0.0"} {
		if slug, _ := policy.RangeOf(netip.MustParseAddr(a)); slug != "" {
			t.Errorf("%s is closed as %s", a, slug)
		}
	}
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// FuzzSpec (T-NG-14, R-OWN-02): any spec file is refused or gives a policy that can be
// built; an untrusted entry never opens a closed range.
func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"schema_version":1,"container":"coi-1a2b3c4d-1","veth":"coiabcdefghijkl","phase":"policy","policy":{"mode":"allowlist","allowed":[{"dest":"10.0.0.0/8","ports":["443"]},{"dest":"a.example.com"}],"hosts":[{"ip":"host","names":["x.test"],"ports":["1-2"]}],"allowed_ports":["22"]}}`))
	env := &policy.Env{Table: "t", Prefix: "coiabc", Mark: 1, DNSPort: 20053, LogRate: 1, NewRate: 1}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s run.Net
		if json.Unmarshal(b, &s) != nil {
			return
		}
		p, err := policy.FromSpec(&s)
		if err != nil {
			return
		}
		p.V4, p.V6 = netip.MustParseAddr("10.213.0.2"), netip.MustParseAddr("fd63:6f69::2")
		if part := policy.Build(p, env, nil); part.Out == "" {
			t.Fatal("no chain")
		}
		for i, d := range s.Policy.Allowed {
			parsed, err := dest.Parse(d.Dest)
			if err != nil || d.Trusted || !parsed.Prefix.IsValid() {
				continue
			}
			if reach, _ := dest.ReachOf(parsed.Prefix); reach != dest.Public {
				t.Fatalf("allowed[%d] %s was accepted from a project", i, d.Dest)
			}
		}
	})
}

// Netguard §7: block_metadata_endpoint = false opens the metadata addresses of
// the table and nothing beside them, and in restricted mode only.
func TestMetadataThatIsOpened(t *testing.T) {
	opened := []string{"169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"}
	beside := []string{"169.254.170.2", "169.254.1.1", "fd00:ec2::23", "fe80::a9fe:a9fe", "192.0.0.1", "100.100.100.201"}
	for _, mode := range []string{policy.Restricted, policy.Allowlist} {
		for _, block := range []bool{false, true} {
			p := &policy.Policy{
				Phase: run.NetPolicy, Mode: mode, BlockMetadata: block, BlockPrivate: true, IPv6: true,
				V4: netip.MustParseAddr("10.213.7.2"), V6: netip.MustParseAddr("fd42::2"),
			}
			for i, a := range append(append([]string{}, opened...), beside...) {
				k := policy.Packet{Src: p.V4, Dst: netip.MustParseAddr(a), Proto: unix.IPPROTO_TCP, Port: 80}
				if k.Dst.Is6() {
					k.Src = p.V6
				}
				want := policy.Deny
				if mode == policy.Restricted && !block && i < len(opened) {
					want = policy.Pass
				}
				d := policy.Decide(p, &policy.Facts{}, func(netip.Addr) (policy.Ports, bool) { return nil, false }, k)
				if d.Verdict != want {
					t.Errorf("%s, block %v: %s is %v; want %s", mode, block, a, d, want)
				}
			}
		}
	}
}
