package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

// pair is two ends of a TCP connection over loopback.
func pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// hello is what the client of the standard library says first.
func hello(t testing.TB, name string, alpn ...string) []byte {
	t.Helper()
	client, server := pair(t)
	go func() {
		c := tls.Client(client, &tls.Config{ServerName: name, NextProtos: alpn, InsecureSkipVerify: name == ""})
		_ = c.Handshake()
	}()
	_, raw, err := Read(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	return raw
}

// The name and the protocols are read, in one piece or byte by byte, and all
// that was read is given back.
func TestRead(t *testing.T) {
	raw := hello(t, "API.example.com", "h2", "http/1.1")
	for _, size := range []int{len(raw), 1, 7} {
		client, server := pair(t)
		go func() {
			for part := range slices.Chunk(raw, size) {
				_, _ = client.Write(part)
			}
			_, _ = client.Write([]byte("early"))
		}()
		h, seen, err := Read(t.Context(), server)
		if err != nil || h.Name != "api.example.com" || !slices.Equal(h.ALPN, []string{"h2", "http/1.1"}) || h.Encrypted {
			t.Errorf("Read = %+v, %v", h, err)
		}
		rest := make([]byte, len(raw)+5-len(seen))
		if _, err := io.ReadFull(server, rest); err != nil || !bytes.Equal(append(seen, rest...), append(slices.Clone(raw), "early"...)) {
			t.Errorf("what was read is not what was sent: %v", err)
		}
	}
}

// What is no hello is said to be none, and is given back; nobody is waited for
// beyond the time and the size.
func TestNotTLS(t *testing.T) {
	for name, text := range map[string][]byte{
		"http": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "ssh": []byte("SSH-2.0-x\r\n"), "half a hello": hello(t, "a.example")[:40],
		"a record of an impossible length": {22, 3, 1, 255, 255, 1}, "nothing": nil,
	} {
		client, server := pair(t)
		if _, err := client.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, seen, err := Read(t.Context(), server)
		if !errors.Is(err, ErrNotTLS) || !bytes.HasPrefix(text, seen) {
			t.Errorf("%s: %v, %q", name, err, seen)
		}
	}
	client, server := pair(t)
	go func() {
		// A hello that claims to be long, in many records.
		for i := range 64 {
			head := []byte{22, 3, 1, 4, 0}
			body := make([]byte, 1024)
			if i == 0 {
				copy(body, []byte{1, 1, 0, 0})
			}
			_, _ = client.Write(append(head, body...))
		}
	}()
	if _, seen, err := Read(t.Context(), server); !errors.Is(err, ErrNotTLS) || len(seen) > MaxHello {
		t.Errorf("long: %v after %d bytes", err, len(seen))
	}
}

// Bytes pass both ways, and the end of one way leaves the other open.
func TestSplice(t *testing.T) {
	client, a := pair(t)
	b, server := pair(t)
	done := make(chan struct{})
	go func() { Splice(a, b); close(done) }()
	question, answer := bytes.Repeat([]byte("q"), 1<<20), bytes.Repeat([]byte("a"), 1<<20)
	go func() {
		_, _ = client.Write(question)
		_ = client.CloseWrite()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, question) {
		t.Fatalf("%d bytes came: %v", len(got), err)
	}
	go func() {
		_, _ = server.Write(answer)
		_ = server.Close()
	}()
	if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("%d bytes came back: %v", len(got), err)
	}
	<-done
}

func FuzzRead(f *testing.F) {
	f.Add(hello(f, "a.example", "h2"))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		client, server := net.Pipe()
		defer func() { _ = server.Close() }()
		go func() { _, _ = client.Write(text); _ = client.Close() }()
		_, seen, err := Read(context.Background(), server)
		if len(seen) > MaxHello || !bytes.HasPrefix(text, seen) || err != nil && !errors.Is(err, ErrNotTLS) {
			t.Fatalf("%v after %d bytes", err, len(seen))
		}
	})
}
