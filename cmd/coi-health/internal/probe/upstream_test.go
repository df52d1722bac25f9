package probe

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// server answers one question with a changed header, or with nothing.
func server(t *testing.T, change func(*dnsmessage.Header) bool) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		var buf [512]byte
		n, from, err := conn.ReadFrom(buf[:])
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 || m.Questions[0].Name.String() != "." {
			return
		}
		m.Response = true
		if !change(&m.Header) {
			return
		}
		if packet, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(packet, from)
		}
	}()
	return conn.LocalAddr().String()
}

// A server that answers is told from one that refuses, one that answers something
// else and, after a while, one that is silent.
func TestAskRoot(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*dnsmessage.Header) bool
		ok     bool
	}{
		"answers": {func(*dnsmessage.Header) bool { return true }, true},
		"refuses": {func(h *dnsmessage.Header) bool { h.RCode = dnsmessage.RCodeRefused; return true }, false},
		"another": {func(h *dnsmessage.Header) bool { h.ID++; return true }, false},
		"silent":  {func(*dnsmessage.Header) bool { return false }, false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if err := askRoot(ctx, server(t, tt.change)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
