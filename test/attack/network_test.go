//go:build attack

package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// listen answers every TCP connection on all addresses of the host with a word.
func listen(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "reached\n")
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// probe is a shell line that prints "reached" if the address answers and
// "closed" if not.
func probe(ip string, port int) string {
	return fmt.Sprintf("nc -w 3 %s %d </dev/null 2>/dev/null | grep reached || echo closed", ip, port)
}

// uplink is an address of the host on a real interface.
func uplink(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("udp4", "192.0.2.1:9") // sends nothing; the kernel chooses a source
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

// R-NET-05: no address of the host answers, but through a hole that the user
// made, and then that port alone.
func TestHostIsClosed(t *testing.T) {
	open, shut := listen(t), listen(t)
	addresses := []string{"169.254.0.1", uplink(t)}
	dir := workspace(t)
	var script []string
	for _, ip := range addresses {
		script = append(script, probe(ip, open))
	}
	r := must(t, dir, "run", "--", "sh", "-c", strings.Join(script, "; "))
	if strings.Contains(r.Stdout, "reached") || strings.Count(r.Stdout, "closed") != len(addresses) {
		t.Errorf("%s\nwant every address of the host closed", r)
	}

	configure(t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", open))
	r = must(t, dir, "run", "--", "sh", "-c", probe("host.test", open)+"; "+probe("host.test", shut))
	if want := "reached\nclosed\n"; r.Stdout != want {
		t.Errorf("%s\nwant %q: the hole is that port and nothing else", r, want)
	}
}

// R-NET-06: private ranges and metadata addresses are closed, though something
// answers there; it does answer the host.
func TestPrivateRangesAreClosed(t *testing.T) {
	for _, ip := range []string{"10.99.88.1", "172.20.88.1", "192.168.88.1", "169.254.169.254", "100.64.88.1"} {
		t.Run(ip, func(t *testing.T) {
			port := behindRouter(t, ip)
			if got := dialHost(ip, port); got != "reached" {
				t.Fatalf("positive control: %s answers the host with %q; want reached", ip, got)
			}
			r := must(t, workspace(t), "run", "--", "sh", "-c", probe(ip, port))
			if r.Stdout != "closed\n" {
				t.Errorf("%s\nwant %s closed", r, ip)
			}
		})
	}
	// Positive control from inside: without the policy the neighbour is reached.
	const ip = "10.99.88.2"
	port := behindRouter(t, ip)
	if r := must(t, workspace(t), "run", "--network", "open", "--", "sh", "-c", probe(ip, port)); r.Stdout != "reached\n" {
		t.Errorf("%s\nwant %s reached in open mode", r, ip)
	}
}

// R-MON-06: an attempt at a metadata address is in the trail as that in every
// mode and form. In the open mode the address answers; that is the control. Those
// who give nothing but keys are not named in the text: that alone stops the container.
func TestMetadataIsJudged(t *testing.T) {
	const answers = "169.254.9.9"
	port := behindRouter(t, answers)
	for _, mode := range []string{"open", "restricted", "allowlist"} {
		t.Run(mode, func(t *testing.T) {
			dir := workspace(t)
			action, want := "blocked", "closed"
			if mode == "open" {
				action, want = "alerted", "reached"
			}
			script := probe(answers, port) + `
for a in 169.254.$((169+1)).2 169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 0xa9fea9fd 169.254.43518; do timeout 2 bash -c "</dev/tcp/$a/80"; done 2>/dev/null
` + awaitGo
			configure(t, fmt.Sprintf("[network]\nmode = %q\n", mode))
			s := begin(t, dir, script)
			told := func(addr string) {
				t.Helper()
				err := house.Eventually(t.Context(), 20*time.Second, func() error {
					got := rulesOf(t, s.container, "warning")
					for _, r := range got {
						if strings.HasPrefix(r, "net.metadata ("+action+")") && strings.Contains(r, addr) {
							return nil
						}
					}
					return fmt.Errorf("%s is not told of; the trail has %q", addr, got)
				})
				if err != nil {
					t.Errorf("%v\n%s", err, s.out.String())
				}
			}
			for _, addr := range []string{answers, "169.254.170.2", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.169.253"} {
				told(addr)
			}
			goOn(t, dir, "true")
			if out, err := s.end(); err != nil || !strings.Contains(out, want) {
				t.Errorf("%v: %s; want %s %s", err, out, answers, want)
			}
		})
	}
}

// behindRouter makes a neighbour of the host in a network namespace of its own,
// with a listener on the address.
func behindRouter(t *testing.T, ip string) (port int) {
	t.Helper()
	ns := fmt.Sprintf("coiatk%d", time.Now().UnixNano()%1_000_000)
	veth := ns[3:]
	sh := func(lines ...string) {
		for _, line := range lines {
			if out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
		}
	}
	sh("ip netns add " + ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	sh("ip link add "+veth+" type veth peer name eth0 netns "+ns,
		"ip addr add 198.18.77.1/30 dev "+veth, "ip link set "+veth+" up",
		"ip -n "+ns+" addr add 198.18.77.2/30 dev eth0", "ip -n "+ns+" addr add "+ip+"/32 dev eth0",
		"ip -n "+ns+" link set eth0 up", "ip -n "+ns+" route add default via 198.18.77.1",
		"ip route add "+ip+"/32 via 198.18.77.2 dev "+veth)
	const p = 8099
	cmd := exec.Command("ip", "netns", "exec", ns, "python3", "-u", "-c",
		"import socket\ns=socket.socket();s.setsockopt(1,2,1);s.bind(('',8099));s.listen(9);print('ready')\nwhile 1:\n c,_=s.accept();c.send(b'reached\\n');c.close()")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = exec.Command("ip", "link", "del", veth).Run()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("listener says %q, %v", line, err)
	}
	return p
}

func dialHost(ip string, port int) string {
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", ip, port), 3*time.Second)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	text, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// R-NET-01: two containers do not reach each other, though the listener answers
// in its own container.
func TestContainersDoNotReachEachOther(t *testing.T) {
	server := workspace(t)
	cmd := the.Command(t.Context(), house.Call{Dir: server, Args: []string{
		"run", "--", "python3", "-u", "-c",
		"import socket\nu=socket.socket(2,2);u.connect(('198.51.100.1',9))\ns=socket.socket();s.bind(('',8098));s.listen(9)\n" +
			"c=socket.create_connection((u.getsockname()[0],8098));c.close();s.accept()\nprint(u.getsockname()[0])\n" +
			"while 1:\n c,_=s.accept();c.send(b'reached\\n');c.close()",
	}})
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ip, err := bufio.NewReader(out).ReadString('\n')
	ip = strings.TrimSpace(ip)
	if err != nil || net.ParseIP(ip) == nil {
		t.Fatalf("the server printed %q, %v; want its address", ip, err)
	}
	client, err := the.Workspace(t.Name() + "-client")
	if err != nil {
		t.Fatal(err)
	}
	r := must(t, client, "run", "--", "sh", "-c", probe(ip, 8098))
	if r.Stdout != "closed\n" {
		t.Errorf("%s\nwant the other container closed", r)
	}
}

// R-REG-12 T-NG-01: from the first instruction of init on, of a first start and
// of a later one whose init and earliest unit are planted, no packet leaves that
// the policy does not allow.
func TestFirstPacket(t *testing.T) {
	l, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1000)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				close(heard)
				return
			}
			heard <- string(buf[:n])
		}
	}()
	port := l.LocalAddr().(*net.UDPAddr).Port
	dir := workspace(t)
	in := []string{"--persistent"}
	name := launched(t, dir, in...)
	// Both say in a file that they ran, and to whom they wanted to speak on the net.
	send := fmt.Sprintf("for i in 1 2 3; do for to in 169.254.0.1 %s 192.0.2.1; do echo $$ >/dev/udp/$to/%d; done; done", uplink(t), port)
	plant := fmt.Sprintf(`set -e
printf '#!/bin/bash\n{ %%s; } 2>/dev/null\necho ran >/var/tmp/init-ran\nunset COI_INIT\nexec /lib/systemd/systemd "$@"\n' '%[1]s' >/sbin/init.planted
chmod 755 /sbin/init.planted; mv /sbin/init.planted /sbin/init
printf '#!/bin/bash\n{ %%s; } 2>/dev/null\necho ran >/var/tmp/unit-ran\n' '%[1]s' >/usr/local/sbin/early; chmod 755 /usr/local/sbin/early
printf '[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nExecStart=/usr/local/sbin/early\n[Install]\nWantedBy=sysinit.target\n' >/etc/systemd/system/early.service
mkdir -p /etc/systemd/system/sysinit.target.wants; ln -s ../early.service /etc/systemd/system/sysinit.target.wants/`, send)
	must(t, dir, "container", "exec", name, "--", "bash", "-c", plant)
	must(t, dir, "shutdown", name)
	if again := launched(t, dir, in...); again != name {
		t.Fatalf("%s was started; want %s", again, name)
	}
	err = house.Eventually(t.Context(), 20*time.Second, func() error {
		r := do(t, dir, "container", "exec", name, "--", "cat", "/var/tmp/init-ran", "/var/tmp/unit-ran")
		if r.Stdout != "ran\nran\n" {
			return fmt.Errorf("what was planted did not run: %s", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	must(t, dir, "shutdown", name)
	select {
	case text := <-heard:
		t.Errorf("a packet arrived: %q", text)
	default:
	}
	// Positive control: the same words through a hole.
	configure(t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", port))
	must(t, dir, "run", "--slot", "2", "--", "bash", "-c", fmt.Sprintf("echo control >/dev/udp/host.test/%d", port))
	if text := <-heard; text != "control\n" {
		t.Errorf("heard %q through the hole", text)
	}
}

// R-NET-11 T-NG-24: a second interface that somebody gave a stopped container, of
// its own, on a bridge or by a profile, is not there when its session runs again.
func TestSecondInterface(t *testing.T) {
	const bridge, profile = "coiatkbr0", "coi-attack-nic"
	for _, args := range [][]string{{"ip", "link", "add", bridge, "type", "bridge"}, {"incus", "profile", "create", profile}, {"incus", "profile", "device", "add", profile, "eth2", "nic", "nictype=bridged", "parent=" + bridge}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	dir := workspace(t)
	c := launched(t, dir, "--persistent")
	t.Cleanup(func() { // before the container that uses it is deleted it would fail
		_ = exec.Command("incus", "delete", "-f", c).Run()
		for _, args := range [][]string{{"incus", "profile", "delete", profile}, {"ip", "link", "del", bridge}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v: %s", args, err, out)
			}
		}
	})
	for how, args := range map[string][]string{
		"of its own":   {"config", "device", "add", c, "eth1", "nic", "nictype=p2p"},
		"on a bridge":  {"config", "device", "add", c, "eth1", "nic", "nictype=bridged", "parent=" + bridge},
		"by a profile": {"profile", "add", c, profile},
	} {
		must(t, dir, "shutdown", c)
		if out, err := exec.Command("incus", args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", how, err, out)
		}
		if out, err := exec.Command("incus", "config", "show", "--expanded", c).CombinedOutput(); err != nil || strings.Count(string(out), "type: nic") != 2 {
			t.Fatalf("control: %s: %v: want two interfaces in\n%s", how, err, out)
		}
		r := do(t, dir, "shell", "--background", "--debug", "--persistent")
		if r.Code != 0 {
			t.Errorf("%s: %s", how, r)
			continue
		}
		out := must(t, dir, "container", "exec", c, "--capture", "--format", "raw", "--", "sh", "-c", "cd /sys/class/net && ls -d eth*; ip -4 -o addr show scope global | wc -l").Stdout
		if out != "eth0\n1\n" {
			t.Errorf("%s: inside are %q; want eth0 with one address alone", how, out)
		}
	}
}

// T-NG-51: who was refused is told by name.
func TestWhoWasRefused(t *testing.T) {
	dir := workspace(t)
	c := launched(t, dir)
	must(t, dir, "container", "exec", c, "--capture", "--format", "raw", "--", "sh", "-c", "nc -w 1 10.0.0.5 5432 </dev/null; true")
	err := house.Eventually(t.Context(), 15*time.Second, func() error {
		r := must(t, dir, "audit", c, "--table", "--rule", "block.private")
		if !strings.Contains(r.Stdout, "10.0.0.5:5432") || !strings.Contains(r.Stdout, " nc") {
			return fmt.Errorf("%s\nwant the program named", r)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	r := must(t, dir, "audit", c, "--rule", "net.who")
	if !strings.Contains(r.Stdout, `"argv":["nc","-w","1","10.0.0.5","5432"]`) || !strings.Contains(r.Stdout, `"ref":[`) {
		t.Errorf("%s\nwant its command line and the record it belongs to", r)
	}
}
