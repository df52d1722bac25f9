package resolve_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

var client = netip.MustParseAddr("10.213.0.2")

// guard is a resolve.Guard without a kernel.
type guard struct {
	mu     sync.Mutex
	view   *resolve.View
	opened map[string][]netip.Addr
	life   time.Duration
	fail   error
	seen   []resolve.Query
}

func (g *guard) Find(a netip.Addr) *resolve.View {
	if a == client {
		return g.view
	}
	return nil
}

func (g *guard) Open(_ *resolve.View, name string, _ policy.Ports, addrs []netip.Addr, life time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail == nil {
		g.opened[name], g.life = addrs, life
	}
	return g.fail
}

func (g *guard) Seen(q resolve.Query) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, q)
}

func newGuard(mode string) *guard {
	return &guard{opened: map[string][]netip.Addr{}, view: &resolve.View{Policy: &policy.Policy{Container: "c", Mode: mode, BlockPrivate: true, BlockMetadata: true, Refresh: 30}, Facts: &policy.Facts{}}}
}

// servers counts loopback addresses: a server that ends may hold its own for a moment.
var servers atomic.Int32

// upstream serves on a loopback address of its own, port 53.
func upstream(t *testing.T, handle func(w dns.ResponseWriter, m *dns.Msg)) *resolve.Upstream {
	t.Helper()
	host := fmt.Sprintf("127.0.53.%d", servers.Add(1))
	addr := host + ":53"
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: dns.HandlerFunc(handle)}, {Listener: l, Handler: dns.HandlerFunc(handle)}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+host+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return resolve.NewUpstream(conf)
}

func ask(t *testing.T, r *resolve.Resolver, name string, typ uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(4096, true)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := new(dns.Msg)
	if err := out.Unpack(r.Handle(context.Background(), client, packet, false)); err != nil {
		t.Fatal(err)
	}
	return out
}

func records(t *testing.T, w dns.ResponseWriter, m *dns.Msg, texts ...string) {
	t.Helper()
	r := new(dns.Msg).SetReply(m)
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Error(err)
		}
		r.Answer = append(r.Answer, rr)
	}
	_ = w.WriteMsg(r)
}

// TestLife (T-NG-40, T-NG-41, R-LIM-08): an address stays open 120 s longer than any honest cache
// keeps its answer, whatever the TTL.
func TestLife(t *testing.T) {
	for _, c := range []struct {
		ttl     time.Duration
		refresh int
		want    time.Duration
	}{{0, 30, 420 * time.Second}, {5 * time.Second, 30, 420 * time.Second}, {time.Hour, 30, 30*time.Minute + 120*time.Second}, {10 * time.Second, 0, 180 * time.Second}, {time.Hour, 0, time.Hour + 120*time.Second}, {time.Hour, 1, 180 * time.Second}} {
		if got := resolve.Life(c.ttl, c.refresh); got != c.want {
			t.Errorf("Life(%s, %d) = %s; want %s", c.ttl, c.refresh, got, c.want)
		}
	}
}

// TestAnswers (T-NG-44, R-REG-18): what comes back from upstream is used only where it
// belongs to the question, and told only when it is open.
func TestAnswers(t *testing.T) {
	up := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		name := strings.ToLower(m.Question[0].Name)
		switch {
		case strings.HasPrefix(name, "big."):
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				r := new(dns.Msg).SetReply(m)
				r.Truncated = true
				_ = w.WriteMsg(r)
				return
			}
			var all []string
			for i := range 200 {
				all = append(all, fmt.Sprintf("%s 60 IN A 198.51.100.%d", m.Question[0].Name, i))
			}
			records(t, w, m, append(all, m.Question[0].Name+" 60 IN A 203.0.113.200")...)
		case strings.HasPrefix(name, "case."):
			r := new(dns.Msg).SetReply(m)
			r.Question[0].Name = strings.ToLower(m.Question[0].Name)
			rr, _ := dns.NewRR(name + " 60 IN A 198.51.100.5")
			r.Answer = append(r.Answer, rr)
			_ = w.WriteMsg(r)
		case strings.HasPrefix(name, "forged."):
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				fake := new(dns.Msg).SetReply(m)
				fake.Id++
				rr, _ := dns.NewRR(m.Question[0].Name + " 60 IN A 203.0.113.66")
				fake.Answer = append(fake.Answer, rr)
				_ = w.WriteMsg(fake)
				other := new(dns.Msg).SetQuestion("other.test.", dns.TypeA)
				other.Id, other.Response, other.Answer = m.Id, true, fake.Answer
				_ = w.WriteMsg(other)
				_, _ = w.Write([]byte{0, 1, 2})
			}
			records(t, w, m, m.Question[0].Name+" 60 IN A 198.51.100.6")
		default:
			records(t, w, m, m.Question[0].Name+" 0 IN A 198.51.100.7")
		}
	})
	g := newGuard(policy.Restricted)
	r := resolve.New(g, up)
	for name, want := range map[string]string{"case.example.com": "198.51.100.5", "forged.example.com": "198.51.100.6", "zero.example.com": "198.51.100.7"} {
		out := ask(t, r, name, dns.TypeA)
		if len(out.Answer) != 1 || out.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%s = %v; want %s", name, out.Answer, want)
		}
		if addrs := g.opened[name]; len(addrs) != 1 || addrs[0].String() != want {
			t.Errorf("%s opened %v", name, addrs)
		}
	}
	if out := ask(t, r, "big.example.com", dns.TypeA); len(out.Answer) == 0 || len(out.Answer) > 64 || len(g.opened["big.example.com"]) != 64 {
		t.Errorf("big answer: %d records, %d opened", len(out.Answer), len(g.opened["big.example.com"]))
	}
	g.fail = os.ErrPermission
	if out := ask(t, r, "again.example.com", dns.TypeA); out.Rcode != dns.RcodeServerFailure || len(out.Answer) != 0 {
		t.Errorf("an address that could not be opened was told: %v", out)
	}
	g.fail = nil
	if out := ask(t, r, "again.example.com", dns.TypeHTTPS); out.Rcode != 0 || len(out.Answer) != 0 {
		t.Errorf("HTTPS record: %v", out)
	}
	if out := ask(t, r, "1.0.0.10.in-addr.arpa", dns.TypePTR); out.Rcode != dns.RcodeNameError {
		t.Errorf("PTR of a private address: rcode %d", out.Rcode)
	}
}

// TestRefusedNamesStay (R-NET-08): a name that is not allowed leaves no packet upstream.
func TestRefusedNamesStay(t *testing.T) {
	asked := make(chan string, 16)
	up := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) { asked <- m.Question[0].Name; records(t, w, m) })
	g := newGuard(policy.Allowlist)
	r := resolve.New(g, up)
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeHTTPS, dns.TypePTR} {
		out := ask(t, r, "secret-data.attacker.test", typ)
		if out.Rcode != dns.RcodeNameError || len(out.Ns) > 0 {
			t.Errorf("type %d: %v", typ, out)
		}
		if opt := out.IsEdns0(); opt == nil || len(opt.Option) != 1 || opt.Option[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeBlocked {
			t.Errorf("type %d: no reason in %v", typ, out)
		}
	}
	if len(asked) > 0 {
		t.Errorf("upstream was asked for %s", <-asked)
	}
	g.view.Policy.Mode = policy.Restricted
	ask(t, r, "secret-data.attacker.test", dns.TypeTXT)
	if len(asked) != 1 {
		t.Error("control: restricted mode must ask upstream")
	}
}

// TestSilentUpstream: no server at all is an answer too, and an event.
func TestSilentUpstream(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("# none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGuard(policy.Restricted)
	up := resolve.NewUpstream(conf)
	if out := ask(t, resolve.New(g, up), "www.example.com", dns.TypeA); out.Rcode != dns.RcodeServerFailure {
		t.Errorf("rcode %d", out.Rcode)
	}
	if last := up.Last(); last.FailedAt.IsZero() || !last.AnsweredAt.IsZero() || last.Error == "" {
		t.Errorf("Last() = %+v; want that nobody answered", last)
	}
	if q := g.seen[0]; q.Rule != "dns.upstream" {
		t.Errorf("%+v", q)
	}
}

// FuzzQuestion (T-NG-44, R-OWN-02): any packet of a container gets an answer that can be
// read, or none.
func FuzzQuestion(f *testing.F) {
	m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	m.SetEdns0(4096, true)
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Add([]byte("\x12\x34\x28\x00\x00\x02\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"))
	conf := filepath.Join(f.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		f.Fatal(err)
	}
	r := resolve.New(newGuard(policy.Allowlist), resolve.NewUpstream(conf))
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, tcp := range []bool{false, true} {
			out := r.Handle(context.Background(), client, packet, tcp)
			if out == nil {
				continue
			}
			if len(out) < 12 || out[0] != packet[0] || out[1] != packet[1] || out[2]&0x80 == 0 {
				t.Fatalf("answer %x to %x", out, packet)
			}
			if !tcp && len(out) > 1232 {
				t.Fatalf("answer of %d bytes by UDP", len(out))
			}
			if err := new(dns.Msg).Unpack(out); err != nil {
				t.Fatalf("answer %x cannot be read: %v", out, err)
			}
		}
	})
}
