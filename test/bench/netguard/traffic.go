package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// role is what this program does inside another namespace.
func role(args []string) {
	switch args[0] {
	case "serve":
		serve()
	case "send":
		_, _ = fmt.Fprintln(os.Stdout, send(args[1]))
	case "hello":
		n, err := strconv.Atoi(args[2])
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(hellos(args[1], n)))
	case "sendtls":
		_, _ = fmt.Fprintln(os.Stdout, sendAfter(args[1], clientHello()))
	case "connect":
		_, _ = fmt.Fprintln(os.Stdout, connect(args[1]))
	case "ask":
		n, err := strconv.Atoi(args[2])
		check(err)
		rate, err := strconv.Atoi(args[3])
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(ask(args[1], n, rate, args[4])))
	}
}

// serve is the internet: a sink, and a name server that gives each name of
// example.com an address of its own.
func serve() {
	l, err := net.Listen("tcp", public+":80")
	check(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	go site()
	check((&dns.Server{Addr: public + ":53", Net: "udp", Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetReply(m)
		n, _ := strconv.Atoi(strings.TrimLeft(strings.SplitN(strings.ToLower(m.Question[0].Name), ".", 2)[0], "abcdefghijklmnopqrstuvwxyz"))
		if m.Question[0].Qtype == dns.TypeA {
			a := net.IPv4(203, byte(n>>16), byte(n>>8), byte(n))
			r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: a})
		}
		_ = w.WriteMsg(r)
	})}).ListenAndServe())
}

// send fills one connection for two seconds and gives bytes a second.
func send(addr string) int64 { return sendAfter(addr, nil) }

func sendAfter(addr string, first []byte) int64 {
	c, err := net.Dial("tcp", addr)
	check(err)
	_, err = c.Write(first)
	check(err)
	buf := make([]byte, 256<<10)
	var sent int64
	begin := time.Now()
	for time.Since(begin) < 2*time.Second {
		n, err := c.Write(buf)
		check(err)
		sent += int64(n)
	}
	return int64(float64(sent) / time.Since(begin).Seconds())
}

// connect opens and closes connections for two seconds and gives their number a second.
func connect(addr string) int64 {
	n := int64(0)
	begin := time.Now()
	for time.Since(begin) < 2*time.Second {
		c, err := net.Dial("tcp", addr)
		check(err)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
		n++
	}
	return int64(float64(n) / time.Since(begin).Seconds())
}

// ask asks n questions at a rate a second (0: one after the other) and gives the
// time of each. kind is cached (one name), =NAME, or fresh (a new name each).
func ask(server string, n, rate int, kind string) []time.Duration {
	c, err := net.Dial("udp", server)
	check(err)
	out := make([]time.Duration, 0, n)
	buf := make([]byte, 2048)
	base := time.Now().UnixNano() % 1000000
	next := time.Now()
	for i := range n {
		name := "n0.example.com."
		if one, ok := strings.CutPrefix(kind, "="); ok {
			name = dns.Fqdn(one)
		} else if kind != "cached" {
			name = fmt.Sprintf("%s%d.example.com.", kind, (base+int64(i))%(1<<24))
		}
		packet, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
		check(err)
		if rate > 0 {
			next = next.Add(time.Second / time.Duration(rate))
			<-time.After(time.Until(next))
		}
		begin := time.Now()
		check(c.SetDeadline(begin.Add(4 * time.Second)))
		_, err = c.Write(packet)
		check(err)
		_, err = c.Read(buf)
		check(err)
		if buf[3]&15 != 0 {
			check(fmt.Errorf("%s: answer code %d", name, buf[3]&15))
		}
		out = append(out, time.Since(begin))
	}
	return out
}

// question has a container ask for one name.
func (l *lab) question(ns, name string) {
	l.times(ns, "ask", "8.8.8.8:53", "1", "0", "="+name)
}

func (l *lab) times(ns string, args ...string) (d []time.Duration) {
	check(json.Unmarshal([]byte(l.ask(ns, args...)), &d))
	return d
}

// dns measures answers. The rate of one container is 1,000 a second, so several ask.
func (l *lab) dns() {
	l.put("coi-bench-0", "allowlist")
	l.times("c0", "ask", "8.8.8.8:53", "10", "0", "cached")
	parts := make(chan []time.Duration, 4)
	for i := range 4 {
		go func() { parts <- l.times(fmt.Sprintf("c%d", i), "ask", "8.8.8.8:53", "2000", "500", "cached") }()
	}
	var cached []time.Duration
	for range 4 {
		cached = append(cached, <-parts...)
	}
	row("DNS cached, 4 x 500 q/s", stats(cached), "p50 < 0.5 ms p99 < 3 ms")
	var direct, through []time.Duration
	for range 5 {
		direct = append(direct, l.times("inet", "ask", public+":53", "400", "400", "d")...)
		through = append(through, l.times("c0", "ask", "8.8.8.8:53", "400", "400", "t")...)
	}
	row("DNS upstream asked directly", stats(direct), "-")
	row("DNS uncached with insert", stats(through), "direct + <= 0.5 ms p95")
	for i := range 6 {
		l.times(fmt.Sprintf("c%d", i), "ask", "8.8.8.8:53", "1400", "700", fmt.Sprintf("m%c", 'a'+i))
	}
}

// speed compares the path with our table and without any rule.
func (l *lab) speed() {
	var with, without, cps, cpsWithout []int64
	measure := func(what string) int64 {
		n, err := strconv.ParseInt(l.ask("c1", what, public+":80"), 10, 64)
		check(err)
		return n
	}
	l.quiet()
	for range 5 {
		with, cps = append(with, measure("send")), append(cps, measure("connect"))
		l.bare(true)
		without, cpsWithout = append(without, measure("send")), append(cpsWithout, measure("connect"))
		l.bare(false)
	}
	row("throughput, one flow, against no rules", ratio(with, without, "Gbit/s", 8e-9), ">= 98 %")
	row("new connections, against no rules", ratio(cps, cpsWithout, "/s", 1), ">= 95 %")
}

// bare freezes the guard and makes its base chains let everything pass, or ends that.
func (l *lab) bare(on bool) {
	if on {
		l.stop()
		run("nft", "flush", "ruleset")
		for exec.Command("ip", "rule", "del", "pref", "5200").Run() == nil {
		}
		// Connection tracking goes on: it is not ours to leave out, NAT needs it.
		run("nft", "add table ip bare; add chain ip bare post { type nat hook postrouting priority 100; }; add rule ip bare post ip saddr 10.213.0.0/16 oifname up0 masquerade")
		return
	}
	run("nft", "delete", "table", "ip", "bare")
	check(os.Remove(l.at.Run("netguard.json")))
	l.start()
	l.put("coi-bench-1", "allowlist")
	l.quiet()
}

// quiet waits until the guard has done its work: taking up the containers of a
// new start is not what the path is measured with.
func (l *lab) quiet() {
	for before := -1; before != l.cpu(); <-time.After(time.Second) {
		before = l.cpu()
	}
}

func ratio(a, b []int64, unit string, scale float64) string {
	slices.Sort(a)
	slices.Sort(b)
	x, y := float64(a[len(a)/2]), float64(b[len(b)/2])
	return fmt.Sprintf("%.1f %% (%.1f / %.1f %s)", x/y*100, x*scale, y*scale, unit)
}
