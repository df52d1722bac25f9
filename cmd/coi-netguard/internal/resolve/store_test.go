package resolve_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// TestHandover (T-NG-10): a question asked while no guard runs is answered by the next one.
func TestHandover(t *testing.T) {
	s, err := resolve.Listen(context.Background(), netip.MustParseAddr("127.0.77.1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.77.1"), s.Port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	packet, err := new(dns.Msg).SetQuestion("x.local.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	next, err := resolve.Adopt(files)
	if err != nil || next.Port != s.Port {
		t.Fatalf("%+v, %v; want port %d", next, err, s.Port)
	}
	g := newGuard(policy.Restricted)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		resolve.New(&anyone{g}, resolve.NewUpstream("/dev/null")).Serve(ctx, next)
		close(done)
	}()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(make([]byte, 512))
	if err != nil || n < 12 {
		t.Errorf("no answer: %v", err)
	}
	stop()
	<-done
	if _, err := resolve.Adopt(nil); err == nil {
		t.Error("nothing was adopted without an error")
	}
}

// anyone finds the same view for every client.
type anyone struct{ *guard }

func (a *anyone) Find(netip.Addr) *resolve.View { return a.view }
