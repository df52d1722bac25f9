package guard_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
)

// zone is an upstream name server: "name TYPE" to records in zone form.
type zone struct {
	mu    sync.Mutex
	data  map[string][]string
	asked map[string]int
}

func (z *zone) set(key string, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.data[key] = records
}

func (z *zone) count(name string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[name]
}

func (z *zone) answer(packet []byte) []byte {
	m := new(dns.Msg)
	if m.Unpack(packet) != nil {
		return nil
	}
	r := new(dns.Msg).SetReply(m)
	name := strings.ToLower(strings.TrimSuffix(m.Question[0].Name, "."))
	z.mu.Lock()
	z.asked[name]++
	records, ok := z.data[name+" "+dns.TypeToString[m.Question[0].Qtype]]
	z.mu.Unlock()
	if !ok {
		r.Rcode = dns.RcodeNameError
	}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		r.Answer = append(r.Answer, rr)
	}
	out, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

// resolver starts the upstream server of the lab.
func (w *world) resolver() *zone {
	z := &zone{data: map[string][]string{}, asked: map[string]int{}}
	w.net.Inet.ServeUDP(lab.Resolver+":53", z.answer)
	return z
}

// lookup asks from a container, any server will do.
func lookup(t *testing.T, c *lab.Container, name string, typ uint16) (rcode int, addrs []netip.Addr) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Ask("9.9.9.9:53", packet, 5*time.Second)
	if err != nil {
		t.Fatalf("ask for %s: %v", name, err)
	}
	r := new(dns.Msg)
	if err := r.Unpack(out); err != nil {
		t.Fatal(err)
	}
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A.To4())
			addrs = append(addrs, a)
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA)
			addrs = append(addrs, a)
		}
	}
	return r.Rcode, addrs
}

func allowlist(entries ...run.Dest) func(*run.Net) {
	return func(s *run.Net) {
		s.Policy.Mode = "allowlist"
		for i := range entries {
			entries[i].Trusted = true
		}
		s.Policy.Allowed = entries
	}
}

// TestAllowlistByName (T-NG-40, T-NG-43, R-NET-10, R-REG-18, R-LIM-08): a name opens its
// addresses, on its ports, before its answer leaves; other addresses stay closed.
func TestAllowlistByName(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	for _, a := range []string{lab.Public + ":80", lab.Public + ":443", lab.Public + ":8080", lab.Public2 + ":80"} {
		w.net.Inet.ServeTCP(a)
	}
	z.set("www.example.com A", "www.example.com. 60 IN CNAME a.cdn.test.", "a.cdn.test. 60 IN A "+lab.Public)
	z.set("deep.sub.example.org A", "deep.sub.example.org. 60 IN A "+lab.Public)
	c := w.launch("coi-names-1", allowlist(run.Dest{Dest: "www.example.com", Ports: []string{"80"}}, run.Dest{Dest: "*.example.org", Ports: []string{"443"}}))
	if c.Reaches(lab.Public + ":80") {
		t.Error("an address is open that no answer has named")
	}
	if rcode, addrs := lookup(t, c, "www.example.com", dns.TypeA); rcode != 0 || len(addrs) != 1 {
		t.Fatalf("lookup = %d %v", rcode, addrs)
	}
	for addr, want := range map[string]bool{lab.Public + ":80": true, lab.Public + ":443": false, lab.Public2 + ":80": false} {
		if got := c.Reaches(addr); got != want {
			t.Errorf("%s reached = %v; want %v", addr, got, want)
		}
	}
	if rcode, _ := lookup(t, c, "deep.sub.example.org", dns.TypeA); rcode != 0 {
		t.Errorf("wildcard: rcode %d", rcode)
	}
	if !c.Reaches(lab.Public+":443") || !c.Reaches(lab.Public+":80") {
		t.Error("two names on one address: the ports of both must be open")
	}
	for _, name := range []string{"example.org", "www.example.net", "xexample.org", `evil\.example.org`} {
		if rcode, addrs := lookup(t, c, name, dns.TypeA); rcode != dns.RcodeNameError || len(addrs) > 0 || z.count(name) > 0 {
			t.Errorf("%s = %d %v, asked upstream %d times; want NXDOMAIN without asking", name, rcode, addrs, z.count(name))
		}
	}
	w.rec.find(t, func(r audit.Record) bool {
		return r.Rule == "allowlist.default" && r.DNS != nil && r.DNS.Name == "www.example.net"
	})
	// Positive control: the same listeners without the policy.
	w.put(w.spec("coi-names-1", nil))
	if !c.Reaches(lab.Public2+":80") || !c.Reaches(lab.Public+":8080") {
		t.Error("control: restricted mode must reach the listeners")
	}
}

// TestRebinding (T-NG-42, R-REG-19): answers in closed ranges are dropped, mixed
// ones lose the closed address.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	c := w.launch("coi-rebind-1", nil)
	for i, a := range []string{"10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "192.0.2.2", "192.0.2.1", "10.213.0.9", "100.100.100.200"} {
		name := fmt.Sprintf("r%d.example.com", i)
		z.set(name+" A", name+". 60 IN A "+a)
		if rcode, addrs := lookup(t, c, name, dns.TypeA); rcode != dns.RcodeNameError || len(addrs) > 0 {
			t.Errorf("%s = %d %v; want NXDOMAIN", a, rcode, addrs)
		}
	}
	z.set("mixed.example.com A", "mixed.example.com. 60 IN A 10.0.0.1", "mixed.example.com. 60 IN A "+lab.Public)
	if rcode, addrs := lookup(t, c, "mixed.example.com", dns.TypeA); rcode != 0 || len(addrs) != 1 || addrs[0].String() != lab.Public {
		t.Errorf("mixed answer = %d %v; want the public address alone", rcode, addrs)
	}
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "dns.rebind" })
	// Positive control: open mode passes what it gets.
	w.put(w.spec("coi-rebind-1", func(s *run.Net) { s.Policy.Mode = "open" }))
	if rcode, addrs := lookup(t, c, "r0.example.com", dns.TypeA); rcode != 0 || len(addrs) != 1 {
		t.Errorf("control in open mode = %d %v", rcode, addrs)
	}
}

// TestChains (T-NG-41): a way of 16 links works, one of 17 and a loop do not.
func TestChains(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	c := w.launch("coi-chain-1", allowlist(run.Dest{Dest: "*.example.com"}))
	chain := func(name string, links int) {
		var rr []string
		at := name
		for i := range links {
			next := fmt.Sprintf("l%d.%s", i, name)
			rr = append(rr, at+". 60 IN CNAME "+next+".")
			at = next
		}
		z.set(name+" A", append(rr, at+". 60 IN A "+lab.Public)...)
	}
	chain("c16.example.com", 16)
	chain("c17.example.com", 17)
	z.set("loop.example.com A", "loop.example.com. 60 IN CNAME b.example.com.", "b.example.com. 60 IN CNAME loop.example.com.")
	z.set("stray.example.com A", "other.test. 60 IN A "+lab.Public)
	for name, want := range map[string]int{"c16.example.com": dns.RcodeSuccess, "c17.example.com": dns.RcodeServerFailure, "loop.example.com": dns.RcodeServerFailure} {
		if rcode, _ := lookup(t, c, name, dns.TypeA); rcode != want {
			t.Errorf("%s = %d; want %d", name, rcode, want)
		}
	}
	if _, addrs := lookup(t, c, "stray.example.com", dns.TypeA); len(addrs) > 0 {
		t.Errorf("a record of another owner was used: %v", addrs)
	}
}

// TestLiveDeny (T-NG-43, T-NG-52, R-NET-07): a denied name closes its address and
// cuts the flow that is open; allow opens again.
func TestLiveDeny(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	for _, change := range []func(*run.Net){allowlist(run.Dest{Dest: "www.example.com"}), nil} {
		c := w.launch("coi-deny-1", change)
		if rcode, _ := lookup(t, c, "www.example.com", dns.TypeA); rcode != 0 {
			t.Fatalf("lookup: %d", rcode)
		}
		conn, err := c.Dial(lab.Public + ":80")
		if err != nil {
			t.Fatal(err)
		}
		if !lab.Echoed(conn) {
			t.Fatal("control: the flow must carry data")
		}
		w.local("coi-deny-1", guard.Local{Deny: []guard.Live{{Dest: "www.example.com"}}})
		if lab.Echoed(conn) {
			t.Error("the flow goes on after its name was denied")
		}
		if c.Reaches(lab.Public + ":80") {
			t.Error("the address of a denied name is open")
		}
		if rcode, _ := lookup(t, c, "www.example.com", dns.TypeA); rcode != dns.RcodeNameError {
			t.Errorf("denied name: rcode %d", rcode)
		}
		w.local("coi-deny-1", guard.Local{})
		if rcode, _ := lookup(t, c, "www.example.com", dns.TypeA); rcode != 0 || !c.Reaches(lab.Public+":80") {
			t.Error("the name is closed after deny was taken back")
		}
		w.end("coi-deny-1", c)
	}
}

// local writes the local file and waits until it holds.
func (w *world) local(name string, l guard.Local) {
	w.t.Helper()
	var st run.NetStatus
	_ = run.Read(w.home.Run(name+run.NetStatusFile), &st)
	l.SchemaVersion, l.Generation = 1, st.LocalGeneration+1
	if err := run.Write(w.home.Run(name+run.NetLocalFile), &l); err != nil {
		w.t.Fatal(err)
	}
	if st := w.await(name, func(st run.NetStatus) bool { return st.LocalGeneration >= l.Generation }); st.State != run.NetEnforcing {
		w.t.Fatalf("local: %+v", st)
	}
}

// end lets a container go as a session does.
func (w *world) end(name string, c *lab.Container) {
	w.t.Helper()
	s := w.spec(name, nil)
	s.Phase = run.NetClosed
	w.put(s)
	c.Detach()
	if err := removeFile(w.home.Run(name + run.NetFile)); err != nil {
		w.t.Fatal(err)
	}
	w.waitFile(name+run.NetStatusFile, false)
}

// TestFailingNames (S18): a name that the allowlist allows and nobody can
// resolve is told of in the session's log of errors, once; one that is refused
// is not.
func TestFailingNames(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	c := w.launch("coi-failing-1", allowlist(run.Dest{Dest: "gone.example.com"}, run.Dest{Dest: "www.example.com"}))
	for _, name := range []string{"gone.example.com", "www.example.com", "other.example.net", "gone.example.com"} {
		lookup(t, c, name, dns.TypeA)
	}
	told := func() (all []string) {
		w.rec.mu.Lock()
		defer w.rec.mu.Unlock()
		for _, line := range w.rec.logs {
			if strings.Contains(line, "refresh failed") {
				all = append(all, line)
			}
		}
		return all
	}
	w.eventually(func() bool { return len(told()) > 0 })
	if got := told(); len(got) != 1 || got[0] != "coi-failing-1 [ERR]: allowlist refresh failed: gone.example.com: there is no such name" {
		t.Errorf("told %q", got)
	}
}

// TestRefreshUnderTraffic (R-REG-15): while a name is asked for again and again
// and its answer changes each time, no packet to an address it had is lost.
func TestRefreshUnderTraffic(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	w.net.Inet.ServeUDP(lab.Public+":80", func(p []byte) []byte { return p })
	z.set("www.example.com A", "www.example.com. 1 IN A "+lab.Public)
	c := w.launch("coi-refresh-1", allowlist(run.Dest{Dest: "*.example.com", Ports: []string{"80"}}))
	if _, err := c.Ask(lab.Public+":80", []byte("early"), 200*time.Millisecond); err == nil {
		t.Fatal("control: the address is open before its name was asked for")
	}
	lookup(t, c, "www.example.com", dns.TypeA)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Until the answer of one name has been refreshed twice; another name is new
		// each time.
		for i := 0; z.count("www.example.com") < 3; i++ {
			address := lab.Public
			if i%2 == 0 {
				address = lab.Public2
			}
			name := fmt.Sprintf("n%d.example.com", i)
			z.set(name+" A", name+". 1 IN A "+address)
			lookup(t, c, name, dns.TypeA)
			z.set("www.example.com A", "www.example.com. 1 IN A "+address)
			lookup(t, c, "www.example.com", dns.TypeA)
		}
	}()
	for i := 0; ; i++ {
		text := fmt.Sprintf("packet %d", i)
		if out, err := c.Ask(lab.Public+":80", []byte(text), 2*time.Second); err != nil || string(out) != text {
			t.Fatalf("packet %d is lost: %q, %v", i, out, err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
