package guard_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
)

// serveTLS answers TLS on an address of the internet by echoing.
func serveTLS(t *testing.T, w *world, addr string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"h2"}}
	w.net.Inet.Accept(addr, func(c net.Conn) {
		s := tls.Server(c, config)
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
}

// asks opens a TLS connection from a container and asks for a name; "" asks for none.
func asks(c *lab.Container, addr, name string) (conn *tls.Conn, err error) {
	var raw net.Conn
	c.Do(func() { raw, err = net.DialTimeout("tcp", addr, 1500*time.Millisecond) })
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	conn = tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := conn.Handshake(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// TestNameOfConnection (netguard.md 12): on an address that many sites share, with
// sni = "enforce" only the name that led there gets through; with "log" all do and
// it is told; without it, which is the control, all do.
func TestNameOfConnection(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	const site = lab.Public + ":443"
	serveTLS(t, w, site)
	z.set("a.example.com A", "a.example.com. 60 IN A "+lab.Public)
	policy := func(sni string, more ...run.Dest) func(*run.Net) {
		list := allowlist(append([]run.Dest{{Dest: "a.example.com"}}, more...)...)
		return func(s *run.Net) { list(s); s.Policy.SNI = sni }
	}
	c := w.launch("coi-sni-1", policy("off"))
	if rcode, _ := lookup(t, c, "a.example.com", dns.TypeA); rcode != 0 {
		t.Fatalf("lookup: %d", rcode)
	}
	through := func(name string) bool {
		conn, err := asks(c, site, name)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return lab.EchoedWithin(conn, 3*time.Second)
	}
	event := func(rule, action, title string) {
		t.Helper()
		w.rec.find(t, func(r audit.Record) bool {
			return r.Rule == rule && r.Action == action && strings.Contains(r.Title, title) && r.Container == "coi-sni-1" && r.Peer == lab.Public
		})
		w.rec.clear()
	}
	for _, name := range []string{"a.example.com", "b.example.com", ""} {
		if !through(name) {
			t.Errorf("control: %q does not get through with sni off", name)
		}
	}

	w.put(w.spec("coi-sni-1", policy("log")))
	if !through("a.example.com") || !through("b.example.com") {
		t.Error("with log everything gets through")
	}
	event("sni.mismatch", audit.Alerted, "TLS for b.example.com")

	w.put(w.spec("coi-sni-1", policy("enforce")))
	if !through("A.example.com") {
		t.Error("the name that led to the address does not get through")
	}
	if through("b.example.com") {
		t.Error("another name of the same address gets through")
	}
	if through("") {
		t.Error("a connection without a name gets through")
	}
	if c.Reaches(site) {
		t.Error("a connection that is not TLS gets through")
	}
	event("sni.not-tls", audit.Blocked, "no TLS")
	if _, err := c.Ask(site, []byte("x"), 300*time.Millisecond); err == nil {
		t.Error("UDP gets through")
	}
	event("sni.quic", audit.Blocked, "QUIC")
	// An allowed name that did not lead to this address.
	w.put(w.spec("coi-sni-1", policy("enforce", run.Dest{Dest: "other.example.com"})))
	if through("other.example.com") {
		t.Error("an allowed name that led elsewhere gets through")
	}

	// What was judged is judged again when the policy changes.
	live, err := asks(c, site, "a.example.com")
	if err != nil || !lab.EchoedWithin(live, 3*time.Second) {
		t.Fatalf("a connection: %v", err)
	}
	w.put(w.spec("coi-sni-1", policy("enforce")))
	if !lab.EchoedWithin(live, 3*time.Second) {
		t.Error("a change that allows it ends an open connection")
	}
	w.put(w.spec("coi-sni-1", func(s *run.Net) {
		allowlist(run.Dest{Dest: "z.example.com"})(s)
		s.Policy.SNI = "enforce"
	}))
	if lab.EchoedWithin(live, 3*time.Second) {
		t.Error("a connection to a name that is no longer allowed goes on")
	}
	// More at once than the guard holds for one container are refused and told of.
	w.put(w.spec("coi-sni-1", policy("enforce")))
	if rcode, _ := lookup(t, c, "a.example.com", dns.TypeA); rcode != 0 {
		t.Fatalf("lookup: %d", rcode)
	}
	told := func() bool {
		w.rec.mu.Lock()
		defer w.rec.mu.Unlock()
		return slices.ContainsFunc(w.rec.recs, func(r audit.Record) bool { return r.Rule == "sni.limit" })
	}
	for n := 0; n < 5000 && !told(); n++ { // each is held for two seconds
		var idle net.Conn
		c.Do(func() { idle, err = net.DialTimeout("tcp", site, 1500*time.Millisecond) })
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = idle.Close() })
	}
	event("sni.limit", audit.Blocked, "too many TLS connections")
	// The port of the guard itself stays closed to those who were not redirected.
	if c.Reaches("169.254.0.1:20053") {
		t.Error("the guard's own port answers")
	}
}

// TestNameOverIPv6: the same over IPv6, where the redirection differs.
func TestNameOverIPv6(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	const site = "[" + lab.Public6 + "]:443"
	serveTLS(t, w, site)
	z.set("a.example.com AAAA", "a.example.com. 60 IN AAAA "+lab.Public6)
	list := allowlist(run.Dest{Dest: "a.example.com"})
	c := w.launch("coi-sni-6", func(s *run.Net) { list(s); s.Policy.SNI, s.Policy.IPv6 = "enforce", true })
	if rcode, addrs := lookup(t, c, "a.example.com", dns.TypeAAAA); rcode != 0 || len(addrs) != 1 {
		t.Fatalf("lookup: %d %v", rcode, addrs)
	}
	conn, err := asks(c, site, "a.example.com")
	if err != nil || !lab.EchoedWithin(conn, 3*time.Second) {
		t.Errorf("the right name: %v", err)
	}
	if _, err := asks(c, site, "b.example.com"); err == nil {
		t.Error("another name gets through")
	}
}
