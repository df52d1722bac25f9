package guard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/sni"
)

const (
	// maxTLS bounds the judged connections of one container: each costs the
	// guard two sockets, two goroutines and what is on its way in the kernel.
	maxTLS = 256
	// dialTime is how long the other side may take to answer.
	dialTime = 10 * time.Second
)

// tlsFlows are the judged TLS connections of one container.
type tlsFlows struct {
	mu   sync.Mutex
	open map[*tlsFlow]struct{}
}

// tlsFlow is one of them: what was judged, and how it is ended.
type tlsFlow struct {
	to    netip.AddrPort
	hello sni.Hello
	err   error // of reading the hello
	read  bool  // hello and err are known
	ends  []*net.TCPConn
}

// enter takes one of the places; false: there is none.
func (t *tlsFlows) enter(f *tlsFlow) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= maxTLS {
		return false
	}
	if t.open == nil {
		t.open = map[*tlsFlow]struct{}{}
	}
	t.open[f] = struct{}{}
	return true
}

func (t *tlsFlows) leave(f *tlsFlow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, f)
	for _, c := range f.ends {
		_ = c.Close()
	}
}

// join adds the other end of a flow; false: the flow has been cut meanwhile.
func (t *tlsFlows) join(f *tlsFlow, c *net.TCPConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.ends = append(f.ends, c)
	_, open := t.open[f]
	return open
}

// cut ends the flows that keep does not keep.
func (t *tlsFlows) cut(keep func(*tlsFlow) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range t.open {
		if !keep(f) {
			delete(t.open, f)
			for _, c := range f.ends {
				sni.Reset(c)
			}
		}
	}
}

// tls judges a connection that the packet path let through by its address, by
// the name that the client asks for, and passes it on.
func (g *Guard) tls(ctx context.Context, conn *net.TCPConn, client netip.Addr, to netip.AddrPort) {
	c := (*g.views.Load())[client]
	if c == nil {
		sni.Reset(conn)
		return
	}
	b := c.box
	f := &tlsFlow{to: to, ends: []*net.TCPConn{conn}}
	if !b.tls.enter(f) {
		g.refusedTLS(b, conn, client, f, "sni.limit", nil, true)
		sni.Reset(conn)
		return
	}
	defer b.tls.leave(f)
	hello, raw, err := sni.Read(ctx, conn)
	if err != nil && !errors.Is(err, sni.ErrNotTLS) {
		return
	}
	b.tls.mu.Lock()
	f.hello, f.err, f.read = hello, err, true
	b.tls.mu.Unlock()
	rule, led, enforced := b.judge(f)
	if rule != "" {
		g.refusedTLS(b, conn, client, f, rule, led, enforced)
		if enforced {
			sni.Reset(conn)
			return
		}
	}
	dial := net.Dialer{Timeout: dialTime}
	up, err := dial.DialContext(ctx, "tcp", to.String())
	if err != nil {
		sni.Reset(conn)
		return
	}
	far, ok := up.(*net.TCPConn)
	if !ok || !b.tls.join(f, far) {
		_ = up.Close()
		return
	}
	if _, err := far.Write(raw); err != nil {
		sni.Reset(conn)
		return
	}
	sni.Splice(conn, far)
}

// refusedTLS records a connection that is not what a name led to, refused or not.
func (g *Guard) refusedTLS(b *box, conn *net.TCPConn, client netip.Addr, f *tlsFlow, rule string, led []string, refused bool) {
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	b.tls.mu.Lock()
	hello := f.hello
	b.tls.mu.Unlock()
	g.books.mu.Lock()
	defer g.books.mu.Unlock()
	g.book(b.name).TLS(events.TLS{
		At: time.Now(), Rule: rule, From: netip.AddrPortFrom(client, from.Port()), To: f.to, Name: hello.Name, ALPN: hello.ALPN, Led: led, Refused: refused,
	})
}

// judge is the rule by which a connection is not what a name led to, "" when it
// is, and whether that is refused. It goes by the policy as it is now.
func (b *box) judge(f *tlsFlow) (rule string, led []string, enforced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.policy
	if p == nil || p.Held() {
		return "sni.mismatch", nil, true
	}
	led = b.names.nameOf(f.to.Addr())
	enforced = p.SNI == policy.SNIEnforce
	if p.Mode != policy.Allowlist || p.SNI == policy.SNIOff {
		return "", led, false // it began under an earlier policy
	}
	switch {
	case f.err != nil:
		return "sni.not-tls", led, enforced
	case f.hello.Encrypted:
		return "sni.encrypted", led, enforced
	case !b.names.led(f.to.Addr(), f.hello.Name):
		return "sni.mismatch", led, enforced
	}
	ports, _, ok := p.NamePorts(f.hello.Name)
	if !ok || !ports.Has(f.to.Port()) {
		return "sni.mismatch", led, enforced
	}
	return "", led, enforced
}

// led reports whether a name led to an address. Of one that an earlier guard
// opened, and did not get to write down for which name, only the policy can say.
func (n *names) led(a netip.Addr, name string) bool {
	o := n.addrs[a]
	if o == nil || name == "" {
		return false
	}
	_, this := o.names[name]
	_, nobodyKnows := o.names[unnamed]
	return this || nobodyKnows
}

// review ends judged connections that a new policy does not allow.
func (g *Guard) review(b *box, p *policy.Policy) {
	// Not under both locks at once: a connection that is judged takes the other first.
	b.tls.mu.Lock()
	flows := make(map[*tlsFlow]tlsFlow, len(b.tls.open))
	for f := range b.tls.open {
		flows[f] = *f
	}
	b.tls.mu.Unlock()
	bad := map[*tlsFlow]bool{}
	for f, was := range flows {
		k := policy.Packet{Src: p.V4, Dst: was.to.Addr(), Proto: unix.IPPROTO_TCP, Port: was.to.Port()}
		if k.Dst.Is6() {
			k.Src = p.V6
		}
		b.mu.Lock()
		allowed := policy.Decide(p, g.facts, b.names.ever, k).Verdict == policy.Pass
		b.mu.Unlock()
		rule, _, enforced := b.judge(&was)
		// One whose hello is still being read is judged when it has come.
		bad[f] = !allowed || was.read && rule != "" && enforced
	}
	b.tls.cut(func(f *tlsFlow) bool { return !bad[f] })
}
