// Package sni reads the name that a TLS client asks for, and passes bytes between
// two connections without looking at them.
package sni

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// What is read of a connection before it is judged.
const (
	MaxHello = 16 << 10
	HelloIn  = 2 * time.Second
)

// Hello is what a client says in the clear.
type Hello struct {
	Name string   // lower case; empty when it sent none
	ALPN []string // protocols it offers
	// Encrypted tells that the hello has an encrypted inner one, whose name
	// nobody on the way can see (RFC 9849).
	Encrypted bool
}

// ErrNotTLS says that what came in time was no whole TLS client hello.
var ErrNotTLS = errors.New("no TLS client hello")

// encryptedHello is the extension of an encrypted client hello.
const encryptedHello = 0xfe0d

var errEnough = errors.New("the hello was read")

// Read reads the client hello of a connection. raw is everything that was read,
// also beside ErrNotTLS: it belongs to whoever the client meant to reach.
func Read(ctx context.Context, c net.Conn) (h Hello, raw []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(HelloIn)); err != nil {
		return h, nil, err
	}
	in := &listener{Conn: c}
	var info *tls.ClientHelloInfo
	// The standard library takes the hello apart; its answer goes nowhere.
	server := tls.Server(in, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
			info = i
			return nil, errEnough
		},
	})
	_ = server.HandshakeContext(ctx)
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return h, in.seen, err
	}
	if info == nil {
		return h, in.seen, ErrNotTLS
	}
	return Hello{
		Name: strings.ToLower(info.ServerName), ALPN: slices.Clone(info.SupportedProtos),
		Encrypted: slices.Contains(info.Extensions, encryptedHello),
	}, in.seen, nil
}

// listener hears what the client says and answers nothing.
type listener struct {
	net.Conn
	seen []byte
}

func (l *listener) Read(b []byte) (int, error) {
	room := MaxHello - len(l.seen)
	if room <= 0 {
		return 0, io.EOF
	}
	n, err := l.Conn.Read(b[:min(len(b), room)])
	l.seen = append(l.seen, b[:n]...)
	return n, err
}

func (l *listener) Write(b []byte) (int, error) { return len(b), nil }

// Splice passes bytes both ways until both sides have ended. The kernel moves
// them: net.TCPConn.ReadFrom is splice(2) on Linux.
func Splice(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(a, b)
	}()
	pass(b, a)
	<-done
}

// pass copies until src ends, and tells dst so. An error ends both ways: half a
// connection with nobody to read it would stay for ever.
func pass(dst, src *net.TCPConn) {
	if _, err := dst.ReadFrom(src); err != nil {
		Reset(src)
		Reset(dst)
		return
	}
	_ = dst.CloseWrite()
}

// Reset closes a connection so that the other side sees an error, not an end.
func Reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
