package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	siteAddr = "203.0.113.10:443"
	siteName = "n28938.example.com" // its number is the address, as serve has it
)

// site answers one byte to whatever comes first, then takes what comes.
func site() {
	l, err := net.Listen("tcp", siteAddr)
	check(err)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if _, err := c.Read(make([]byte, 16<<10)); err == nil {
				_, _ = c.Write([]byte{1})
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}()
	}
}

// clientHello is what a TLS client sends first.
func clientHello() []byte {
	a, b := net.Pipe()
	go func() { _ = tls.Client(a, &tls.Config{ServerName: siteName}).Handshake() }()
	buf := make([]byte, 16<<10)
	n, err := b.Read(buf)
	check(err)
	head := int(buf[3])<<8 | int(buf[4])
	for n < 5+head {
		more, err := b.Read(buf[n:])
		check(err)
		n += more
	}
	return bytes.Clone(buf[:n])
}

// hellos gives the time from the first packet to the first byte of the answer.
func hellos(addr string, n int) []time.Duration {
	hello := clientHello()
	var out []time.Duration
	for range n {
		begin := time.Now()
		c, err := net.Dial("tcp", addr)
		check(err)
		_, err = c.Write(hello)
		check(err)
		_, err = c.Read(make([]byte, 1))
		check(err)
		out = append(out, time.Since(begin))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	return out
}

// names compares TLS connections whose name is judged with those whose is not.
func (l *lab) names() {
	var with, without []time.Duration
	var fast, plain []int64
	measure := func(sni string) (times []time.Duration, speed int64) {
		l.sni = sni
		l.put("coi-bench-2", "allowlist")
		l.question("c2", siteName)
		times = l.times("c2", "hello", siteAddr, "200")
		speed, err := strconv.ParseInt(l.ask("c2", "sendtls", siteAddr), 10, 64)
		check(err)
		return times, speed
	}
	l.quiet()
	for range 5 {
		t, s := measure("enforce")
		with, fast = append(with, t...), append(fast, s)
		t, s = measure("off")
		without, plain = append(without, t...), append(plain, s)
	}
	row("TLS connection to first byte, sni off", stats(without), "-")
	row("TLS connection to first byte, sni enforce", stats(with), "off + <= 1 ms p95")
	row("TLS throughput, sni enforce against off", ratio(fast, plain, "Gbit/s", 8e-9), "no cost per byte")
}
