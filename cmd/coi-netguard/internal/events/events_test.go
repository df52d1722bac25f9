package events_test

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func book() (*events.Book, *[]audit.Record) {
	var recs []audit.Record
	return events.NewBook("c", func(_ string, r audit.Record) { recs = append(recs, r) }), &recs
}

func none(netip.Addr) []string { return nil }

// TestCondense (T-NG-50, R-NET-09): the first at once, repeats as one record a minute, and
// the kernel's number where the log was too slow.
func TestCondense(t *testing.T) {
	b, recs := book()
	p := packets.Packet{Rule: "block.private", Src: netip.MustParseAddr("10.213.0.2"), Dst: netip.MustParseAddr("10.0.0.5"), Proto: 6, Port: 5432, At: start}
	for i := range 100 {
		p.At = start.Add(time.Duration(i) * time.Millisecond)
		b.Packet(p, &policy.Facts{}, none)
	}
	if len(*recs) != 1 || (*recs)[0].Title != "blocked: private address 10.0.0.5:5432" {
		t.Fatalf("%+v", *recs)
	}
	b.Counted("block.private", 1000, start)
	b.Tick(start.Add(61 * time.Second))
	total := 0
	for _, r := range *recs {
		total += max(1, r.Count)
	}
	if len(*recs) != 3 || total != 1000 {
		t.Errorf("%d records say %d packets; want 3 and 1000: %+v", len(*recs), total, *recs)
	}
}

// TestMetadata (R-MON-06): an attempt at a metadata address is told of whatever
// rule refused it, next to what that rule says; what got through is not counted
// as a repeat of what did not.
func TestMetadata(t *testing.T) {
	for _, dst := range []string{"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "64:ff9b::a9fe:a9fe"} {
		b, recs := book()
		p := packets.Packet{Rule: "block.link-local", Src: netip.MustParseAddr("10.213.0.2"), Dst: netip.MustParseAddr(dst), Proto: 6, Port: 80, At: start}
		for _, rule := range []string{"block.link-local", "block.link-local", "net.metadata", "net.metadata"} {
			p.Rule = rule
			b.Packet(p, &policy.Facts{}, none)
		}
		b.Tick(start.Add(61 * time.Second))
		var got []string
		for _, r := range *recs {
			if r.Rule == "net.metadata" {
				got = append(got, fmt.Sprintf("%s %d %s", r.Action, r.Count, r.Title))
				if r.Level != coi.Warning || r.Peer != dst || r.Port != 80 || r.Description == "" {
					t.Errorf("%s: %+v", dst, r)
				}
			}
		}
		title := "connection to the metadata address " + netip.AddrPortFrom(p.Dst, 80).String()
		slices.Sort(got)
		want := []string{"alerted 0 " + title, "alerted 1 " + title, "blocked 0 blocked: " + title, "blocked 1 blocked: " + title}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q; want %q", dst, got, want)
		}
	}
	b, recs := book()
	for _, p := range []packets.Packet{{Rule: "host.service", Dst: policy.Gateway, Proto: 6, Port: 22}, {Rule: "block.private", Dst: netip.MustParseAddr("10.0.0.1"), Proto: 6, Port: 80}} {
		b.Packet(p, &policy.Facts{}, none)
	}
	for _, r := range *recs {
		if r.Rule == "net.metadata" {
			t.Errorf("%+v is no metadata service", r)
		}
	}
}

// TestMemory (T-NG-50): a container that tries every address costs bounded memory and
// a bounded number of records.
func TestMemory(t *testing.T) {
	b, recs := book()
	for i := range 200000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b.Packet(packets.Packet{Rule: "block.private", Dst: a, Proto: 17, Port: uint16(i), At: start.Add(time.Duration(i) * time.Microsecond)}, &policy.Facts{}, none)
	}
	if len(*recs) > 2100 {
		t.Errorf("%d records", len(*recs))
	}
}

func run(names func(i int) (string, uint16, int), n int) map[string]bool {
	b, recs := book()
	for i := range n {
		name, typ, size := names(i)
		b.Query(resolve.Query{Container: "c", Name: name, Type: typ, Result: "ok", Bytes: size}, start.Add(time.Duration(i)*100*time.Millisecond), 1000)
	}
	out := map[string]bool{}
	for _, r := range *recs {
		out[r.Rule] = true
	}
	return out
}

func blob(i, n int) string {
	var b strings.Builder
	for k := 0; b.Len() < n; k++ {
		sum := sha256.Sum256(fmt.Append(nil, i, k))
		b.WriteString(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])))
	}
	return b.String()[:n]
}

// TestTunnels (T-NG-45): data in names and answers fires; package managers, CDN names
// and image pulls do not.
func TestTunnels(t *testing.T) {
	for name, c := range map[string]struct {
		rule  string
		n     int
		names func(i int) (string, uint16, int)
	}{
		"base32": {"dns.tunnel", 100, func(i int) (string, uint16, int) {
			return blob(i, 50) + "." + blob(i+1, 50) + ".t.example.com", dns.TypeA, 60
		}},
		"hex": {"dns.tunnel", 100, func(i int) (string, uint16, int) {
			return fmt.Sprintf("%x.t.example.com", sha256.Sum256(fmt.Append(nil, i)))[:60] + ".example.com", dns.TypeCNAME, 60
		}},
		"txt": {"dns.tunnel-txt", 60, func(i int) (string, uint16, int) { return fmt.Sprintf("d%d.example.com", i), dns.TypeTXT, 400 }},
		"long name": {"dns.odd-name", 1, func(i int) (string, uint16, int) {
			return blob(1, 60) + "." + blob(2, 60) + "." + blob(3, 20) + ".example.com", dns.TypeA, 60
		}},
	} {
		if got := run(c.names, c.n); !got[c.rule] {
			t.Errorf("%s: %v; want %s", name, got, c.rule)
		}
	}
	for name, c := range map[string]struct {
		n     int
		names func(i int) (string, uint16, int)
	}{
		"packages": {300, func(i int) (string, uint16, int) { return "registry.example.org", dns.TypeA, 80 }},
		"mirrors":  {90, func(i int) (string, uint16, int) { return fmt.Sprintf("mirror%d.example.org", i), dns.TypeA, 80 }},
		"cdn": {80, func(i int) (string, uint16, int) {
			return fmt.Sprintf("d%s.cdn.example.org", blob(i, 13)), dns.TypeA, 80
		}},
		"images": {40, func(i int) (string, uint16, int) { return blob(i, 32) + ".blobs.example.org", dns.TypeA, 80 }},
		"mail": {25, func(i int) (string, uint16, int) {
			return fmt.Sprintf("s%d._domainkey.example.org", i), dns.TypeTXT, 300
		}},
		"browser": {120, func(i int) (string, uint16, int) { return fmt.Sprintf("www.site%d.com", i), dns.TypeA, 80 }},
	} {
		if got := run(c.names, c.n); len(got) > 0 {
			t.Errorf("%s fires %v", name, got)
		}
	}
}
