package guard_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
)

// TestResolvers (T-NG-46, R-NET-08, R-LIM-07): whatever server a container asks, by UDP
// or TCP, the guard answers; DNS over TLS and known servers over HTTPS are closed.
func TestResolvers(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	w.net.Inet.ServeTCP(lab.Public + ":853")
	w.net.Inet.ServeTCP(lab.Public + ":443")
	w.net.Inet.ServeTCP(lab.Resolver + ":443")
	w.start()
	c := w.launch("coi-res-1", nil)
	m := new(dns.Msg)
	m.SetQuestion("www.example.com.", dns.TypeA)
	m.SetEdns0(4096, true)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"8.8.8.8:53", "169.254.0.1:53", "10.9.9.9:53", "203.0.113.99:53", "192.0.2.1:53"} {
		out, err := c.Ask(server, packet, 3*time.Second)
		if err != nil {
			t.Errorf("%s: %v", server, err)
			continue
		}
		r := new(dns.Msg)
		if err := r.Unpack(out); err != nil || len(r.Answer) != 1 || r.AuthenticatedData || r.IsEdns0() == nil || r.IsEdns0().UDPSize() > 1232 {
			t.Errorf("%s: %v %v", server, err, r)
		}
	}
	var tcp *dns.Msg
	c.Do(func() { tcp, _, err = (&dns.Client{Net: "tcp", Timeout: 3 * time.Second}).Exchange(m, "1.1.1.1:53") })
	if err != nil || len(tcp.Answer) != 1 {
		t.Errorf("by TCP: %v %v", tcp, err)
	}
	if z.count("www.example.com") != 1 {
		t.Errorf("upstream was asked %d times; want once, then the cache", z.count("www.example.com"))
	}
	for addr, want := range map[string]bool{lab.Public + ":853": false, lab.Resolver + ":443": false, lab.Public + ":443": true} {
		if got := c.Reaches(addr); got != want {
			t.Errorf("%s reached = %v; want %v", addr, got, want)
		}
	}
	for _, name := range []string{"dns.google", "use-application-dns.net", "localhost", "printer.local", "x.internal", "host.10", "single", `evil\.example.com`} {
		if rcode, _ := lookup(t, c, name, dns.TypeA); rcode != dns.RcodeNameError || z.count(name) != 0 {
			t.Errorf("%s: rcode %d, asked upstream %d times", name, rcode, z.count(name))
		}
	}
	for _, typ := range []uint16{dns.TypeANY, dns.TypeAXFR, dns.TypeNULL, 65400} {
		if rcode, _ := lookup(t, c, "www.example.com", typ); rcode != dns.RcodeRefused {
			t.Errorf("type %d: rcode %d; want REFUSED", typ, rcode)
		}
	}
	// The guard's own port takes no question that was not redirected to it.
	var state struct {
		DNSPort int `json:"dns_port"`
	}
	if err := run.Read(w.home.Run(run.NetguardFile), &state); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ask(fmt.Sprintf("169.254.0.1:%d", state.DNSPort), packet, 300*time.Millisecond); err == nil {
		t.Error("the name server's own port answered")
	}
}

// TestRate (R-NET-17): a container that asks too fast is told so, and counted.
func TestRate(t *testing.T) {
	w := newWorld(t)
	w.resolver().set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	w.start()
	c := w.launch("coi-rate-1", func(s *run.Net) { s.Policy.DNSQPS = 5 })
	var failed int
	for range 40 {
		if rcode, _ := lookup(t, c, "www.example.com", dns.TypeA); rcode == dns.RcodeServerFailure {
			failed++
		}
	}
	if failed < 15 || failed > 22 {
		t.Errorf("%d of 40 questions failed; want those over the burst of 20", failed)
	}
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "dns.rate" && r.Level == coi.Warning })
}

// TestConnectionLimit (R-NET-17): open flows are bounded for each container.
func TestConnectionLimit(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	c := w.launch("coi-conn-1", func(s *run.Net) { s.Policy.Connections = 10 })
	open := 0
	for range 15 {
		conn, err := c.Dial(lab.Public + ":80")
		if err == nil {
			defer func() { _ = conn.Close() }()
			open++
		}
	}
	if open != 10 {
		t.Errorf("%d flows are open; want 10", open)
	}
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "conn.limit" && r.Level == coi.Warning })
}

// TestHosts (R-REG-20): a host entry answers its name and opens exactly its hole, in
// every mode that filters; removing it closes both.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	w.start()
	host := lab.HostNS(t)
	host.ServeTCP("0.0.0.0:8080")
	host.ServeTCP("0.0.0.0:8081")
	w.net.Inet.ServeTCP(lab.Private + ":5432")
	w.net.Inet.ServeTCP(lab.Private + ":5433")
	for i, mode := range []string{"restricted", "allowlist"} {
		name := fmt.Sprintf("coi-hosts-%d", i)
		c := w.launch(name, func(s *run.Net) {
			s.Policy.Mode = mode
			s.Policy.Hosts = []run.HostEntry{{IP: "host", Names: []string{"model.test"}, Ports: []string{"8080"}}, {IP: lab.Private, Names: []string{"db.lan"}, Ports: []string{"5432"}}}
		})
		if _, addrs := lookup(t, c, "model.test", dns.TypeA); len(addrs) != 1 || addrs[0].String() != "169.254.0.1" {
			t.Errorf("%s: model.test = %v", mode, addrs)
		}
		for addr, want := range map[string]bool{"169.254.0.1:8080": true, "169.254.0.1:8081": false, lab.HostAddr + ":8080": false, lab.Private + ":5432": true, lab.Private + ":5433": false} {
			if got := c.Reaches(addr); got != want {
				t.Errorf("%s: %s reached = %v; want %v", mode, addr, got, want)
			}
		}
		w.put(w.spec(name, func(s *run.Net) { s.Policy.Mode = mode }))
		if c.Reaches("169.254.0.1:8080") || c.Reaches(lab.Private+":5432") {
			t.Errorf("%s: the hole is open without its entry", mode)
		}
	}
}

// TestUntrusted (R-NET-13, R-REG-14): a spec that would open for a project what only the
// user may open is refused whole; an empty list opens nothing.
func TestUntrusted(t *testing.T) {
	w := newWorld(t)
	w.start()
	for i, d := range []string{"10.0.0.0/8", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.7", "fd00::1", "*.github.io", "0.0.0.0/0", "127.0.0.1"} {
		s := w.spec(fmt.Sprintf("coi-proj-%d", i), allowlist())
		s.Policy.Allowed = []run.Dest{{Dest: d, Origin: ".coi/config.toml:3"}}
		if st := w.put(s); st.State != run.NetFailed || !strings.Contains(st.Error, "policy.allowed[0]") {
			t.Errorf("%s from a project: %s %q", d, st.State, st.Error)
		}
	}
	w.net.Inet.ServeTCP(lab.Public + ":80")
	c := w.launch("coi-empty-1", allowlist())
	if c.Reaches(lab.Public + ":80") {
		t.Error("an empty list opens an address")
	}
	w.put(w.spec("coi-empty-1", allowlist(run.Dest{Dest: lab.Public})))
	if !c.Reaches(lab.Public + ":80") {
		t.Error("control: the entry must open the listener")
	}
}

// TestForged (T-NG-23, R-NET-01, R-REG-08): false sources, fragments, options and protocols leave
// the host under no policy that does not pass them.
func TestForged(t *testing.T) {
	w := newWorld(t)
	w.start()
	c := w.launch("coi-forge-1", allowlist(run.Dest{Dest: lab.Public}))
	raw := c.Raw(t)
	got := make(chan []byte, 64)
	w.net.Inet.Do(func() { lab.Sniff(t, "eth0", got) })
	src, dst := c.V4, netip.MustParseAddr(lab.Public)
	send := func(p []byte) {
		if err := raw.Send(p); err != nil {
			t.Fatal(err)
		}
	}
	udp := func(s, d netip.Addr) []byte {
		return lab.IP(unix.IPPROTO_UDP, s, d, lab.Segment(unix.IPPROTO_UDP, s, d, 7000, 7001, 0))
	}
	for _, bad := range [][]byte{
		udp(netip.MustParseAddr("10.213.0.99"), dst), udp(netip.MustParseAddr(lab.HostAddr), dst), udp(netip.MustParseAddr("127.0.0.1"), dst),
		lab.IP(132, src, dst, make([]byte, 40)), lab.IP(47, src, dst, make([]byte, 40)), lab.IP(4, src, dst, udp(src, netip.MustParseAddr(lab.Private))), lab.IP(41, src, dst, make([]byte, 60)),
		lab.IP(unix.IPPROTO_ICMP, src, dst, lab.Segment(unix.IPPROTO_ICMP, src, dst, 1, 0, 13)), lab.IP(unix.IPPROTO_ICMP, src, dst, lab.Segment(unix.IPPROTO_ICMP, src, dst, 1, 0, 5)),
		lab.SourceRoute(src, dst, netip.MustParseAddr(lab.Private)),
		lab.Fragments(udp(src, netip.MustParseAddr(lab.Public2)))[0], lab.Fragments(udp(src, netip.MustParseAddr(lab.Public2)))[1],
	} {
		send(bad)
	}
	for _, part := range lab.Fragments(udp(src, dst)) {
		send(part) // the last one, and the control: it is allowed and arrives
	}
	end := time.After(5 * time.Second)
	for {
		select {
		case p := <-got:
			if p[0]>>4 != 4 || len(p) < 20 {
				continue
			}
			if p[9] == unix.IPPROTO_UDP && netip.AddrFrom4([4]byte(p[16:])) == dst {
				return
			}
			if netip.AddrFrom4([4]byte(p[12:])) != netip.MustParseAddr(lab.HostAddr) || netip.AddrFrom4([4]byte(p[16:])) == dst || netip.AddrFrom4([4]byte(p[16:])) == netip.MustParseAddr(lab.Public2) {
				t.Errorf("a packet left: %x", p)
			}
		case <-end:
			t.Fatal("control: the allowed datagram did not arrive")
		}
	}
}

// TestNoIPv6 (T-NG-20, R-REG-11): with ipv6 off no IPv6 packet leaves, whatever the
// container sets inside.
func TestNoIPv6(t *testing.T) {
	w := newWorld(t)
	w.start()
	c := w.launch("coi-v6-1", nil)
	src, dst := netip.MustParseAddr("2001:db8::77"), netip.MustParseAddr(lab.Public6)
	w.net.Inet.ServeTCP(lab.Public + ":80")
	got := make(chan []byte, 64)
	w.net.Inet.Do(func() { lab.Sniff(t, "eth0", got) })
	raw := c.Raw(t)
	for range 20 {
		if err := raw.Send(lab.IP(unix.IPPROTO_UDP, src, dst, lab.Segment(unix.IPPROTO_UDP, src, dst, 1, 9, 0))); err != nil {
			t.Fatal(err)
		}
	}
	if !c.Reaches(lab.Public + ":80") {
		t.Error("control: IPv4 must pass")
	}
	for len(got) > 0 {
		if p := <-got; p[0]>>4 == 6 && netip.AddrFrom16([16]byte(p[24:])) == dst {
			t.Errorf("an IPv6 packet left: %x", p)
		}
	}
}

// TestScan (T-NG-50): many addresses in a minute are one finding.
func TestScan(t *testing.T) {
	w := newWorld(t)
	w.start()
	c := w.launch("coi-scan-1", nil)
	raw := c.Raw(t)
	for i := range 30 {
		dst := netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})
		if err := raw.Send(lab.IP(unix.IPPROTO_TCP, c.V4, dst, lab.Segment(unix.IPPROTO_TCP, c.V4, dst, 1000, 22, 0))); err != nil {
			t.Fatal(err)
		}
	}
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "net.scan" && r.Level == coi.High })
}

// TestRulesText (G4): what is shown is nft syntax that nft accepts, and the same as
// nft itself shows for the chains of the container.
func TestRulesText(t *testing.T) {
	w := newWorld(t)
	g := w.start()
	for i, change := range []func(*run.Net){
		nil, allowlist(run.Dest{Dest: "a.example.com", Ports: []string{"80", "8000-8100"}}, run.Dest{Dest: "198.51.100.0/24", Ports: []string{"443"}}),
		func(s *run.Net) {
			s.Policy.IPv6, s.Policy.AllowLocal = true, true
			s.Policy.AllowedPorts = []string{"22"}
		}, func(s *run.Net) { s.Policy.Mode = "open" },
		func(s *run.Net) {
			allowlist(run.Dest{Dest: "a.example.com"})(s)
			s.Policy.SNI = "enforce"
		},
	} {
		w.put(w.spec(fmt.Sprintf("coi-text-%d", i), change))
	}
	w.local("coi-text-0", guard.Local{Deny: []guard.Live{{Dest: "203.0.113.0/24", Ports: []string{"25"}}, {Dest: "203.0.113.9"}}})
	w.stop()
	text, err := g.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := nftRun(t, "delete table inet "+w.home.Table()+"\n"+strings.Replace(text, "table inet "+w.home.Table(), "table inet copy", 1)); err != nil {
		t.Fatalf("nft refuses the text: %v\n%s", err, out)
	}
	if out, err := exec.Command("nft", "list", "chain", "inet", "copy", "o_2").CombinedOutput(); err != nil || !strings.Contains(string(out), "allowlist.default") {
		t.Errorf("%v %s", err, out)
	}
}
