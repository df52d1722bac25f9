package guard_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/foreign"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// TestOtherFirewall (R-NET-14): a table as Docker and ufw make it drops forwarded packets;
// rules are put in while there are containers, come back when they vanish, and
// go with the last container.
func TestOtherFirewall(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	docker := `table ip filter {
		chain DOCKER-USER { }
		chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
		chain INPUT { type filter hook input priority 0; policy drop; ct state established,related accept; iifname "lo" accept; }
	}`
	if out, err := nftRun(t, docker); err != nil {
		t.Fatal(err, out)
	}
	w.opts.Settings.ManageForeign = false
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	s := w.spec("coi-dock-1", nil)
	if st := w.put(s); st.State != run.NetDegraded || !strings.Contains(strings.Join(st.Problems, " "), "manage_foreign") {
		t.Errorf("a firewall in the way is not told: %+v", st)
	}
	w.stop()
	if err := os.Remove(w.home.Run("coi-dock-1" + run.NetFile)); err != nil {
		t.Fatal(err)
	}
	w.opts.Settings.ManageForeign = true
	w.start()
	c := w.launch("coi-dock-1", nil)
	if !c.Reaches(lab.Public + ":80") {
		t.Error("Docker's rules stop the container")
	}
	if rcode, _ := lookup(t, c, "www.example.com", 1); rcode != 0 {
		t.Error("ufw's rules stop the questions")
	}
	if out, err := nftRun(t, "flush chain ip filter DOCKER-USER"); err != nil {
		t.Fatal(err, out)
	}
	w.eventually(func() bool {
		out, _ := exec.Command("nft", "list", "chain", "ip", "filter", "DOCKER-USER").CombinedOutput()
		return strings.Count(string(out), "accept") == 2
	})
	if !c.Reaches(lab.Public + ":80") {
		t.Error("the rules did not come back")
	}
	w.end("coi-dock-1", c)
	w.eventually(func() bool {
		out, _ := exec.Command("nft", "list", "table", "ip", "filter").CombinedOutput()
		return !strings.Contains(string(out), w.home.VethTag())
	})
}

// ufw runs the real ufw on a copy of its files, in the network namespace of the test.
func ufw(t *testing.T, files string, args ...string) {
	t.Helper()
	script := `mount --bind "$0" /etc/ufw && exec ufw "$@"`
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, files}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ufw %v: %v: %s", args, err, out)
	}
}

// TestUFW (R-NET-14): the real ufw drops what containers send until the guard's
// rules are there; after a reload, which writes its chains anew, they come back.
func TestUFW(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	w.net.Inet.ServeTCP(lab.Public + ":80")
	files := t.TempDir()
	if out, err := exec.Command("cp", "-a", "/etc/ufw/.", files).CombinedOutput(); err != nil {
		t.Fatalf("the files of ufw: %v: %s", err, out)
	}
	w.opts.Settings.ManageForeign = false
	w.start()
	c := w.launch("coi-ufw-1", nil)
	if !c.Reaches(lab.Public + ":80") {
		t.Fatal("control: without ufw the listener must be reached")
	}
	ufw(t, files, "--force", "enable")
	if c.Reaches(lab.Public + ":80") {
		t.Fatal("control: ufw lets forwarded packets through by itself")
	}
	w.stop()
	w.opts.Settings.ManageForeign = true
	w.start()
	through := func() bool {
		rcode, _ := lookup(t, c, "www.example.com", 1)
		return rcode == 0 && c.Reaches(lab.Public+":80")
	}
	if !through() {
		t.Error("ufw stops the container")
	}
	ufw(t, files, "reload")
	w.eventually(through)
	w.end("coi-ufw-1", c)
	ufw(t, files, "disable")
}

// TestConflicts (health: foreign_rules): of the rules of others those are named
// that the mark bit or the addresses of containers would not survive, and no others.
func TestConflicts(t *testing.T) {
	w := newWorld(t)
	w.start()
	r, err := nft.OpenReader()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	const bit = 0x02000000
	for script, want := range map[string]string{
		"table ip a { chain c { type filter hook prerouting priority -150; meta mark set 0x1; }; }":                                          "uses the mark bit",
		"table ip6 a { chain c { type filter hook prerouting priority -150; meta l4proto udp meta mark set ct mark; }; }":                    "uses the mark bit",
		"table inet a { chain c { meta mark set meta mark or 0x02000000; }; }":                                                               "uses the mark bit",
		"table inet a { chain c { meta mark set meta mark and 0xfdffffff; }; }":                                                              "uses the mark bit",
		"table inet a { chain c { type filter hook forward priority 0; meta mark and 0x02000000 == 0 drop; }; }":                             "uses the mark bit",
		"table inet a { chain c { type filter hook forward priority 0; meta mark 0x02000001 drop; }; }":                                      "uses the mark bit",
		"table ip a { chain c { type nat hook prerouting priority -150; udp dport 53 redirect to :5353; }; }":                                "translates addresses",
		"table ip a { chain c { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }":                                "",
		"table inet a { chain c { type filter hook prerouting priority -150; meta mark set meta mark and 0xff00ffff or 0x40000; }; }":        "",
		"table inet a { chain c { type filter hook forward priority 0; meta mark and 0xff0000 == 0x40000 accept; meta mark 0x1 accept; }; }": "",
		"table inet a { chain c { type filter hook output priority 0; meta mark set 0x1; }; }":                                               "",
		"table inet a { chain c { type filter hook prerouting priority 0; ct mark set meta mark; }; }":                                       "",
	} {
		if out, err := nftRun(t, script); err != nil {
			t.Fatalf("%s: %v %s", script, err, out)
		}
		got, all, err := foreign.Conflicts(r, bit, policy.FirstNAT)
		if text := strings.Join(got, "; "); err != nil || !all || (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s: conflicts %q, all %v, %v; want %q", script, text, all, err, want)
		}
		family := strings.Fields(script)[1]
		if out, err := nftRun(t, "delete table "+family+" a"); err != nil {
			t.Fatal(err, out)
		}
	}
	for _, tt := range []struct {
		rule string
		want bool
	}{
		{"-t mangle -A PREROUTING -j MARK --set-mark 1", true},
		{"-t mangle -A PREROUTING -j MARK --or-mark 0x02000000", true},
		{"-t mangle -A PREROUTING -j CONNMARK --restore-mark", true},
		{"-t mangle -A FORWARD -m mark --mark 0x02000000/0x02000000 -j ACCEPT", true},
		{"-t mangle -A PREROUTING -j MARK --set-mark 0x4000/0x4000", false},
		{"-t mangle -A FORWARD -m mark --mark 0x1 -j ACCEPT", false},
		{"-t mangle -A FORWARD -m comment --comment x -p tcp --dport 80 -j ACCEPT", false},
	} {
		if out, err := exec.Command("iptables-nft", strings.Fields(tt.rule)...).CombinedOutput(); err != nil {
			t.Fatalf("iptables %s: %v %s", tt.rule, err, out)
		}
		got, _, err := foreign.Conflicts(r, bit, policy.FirstNAT)
		if err != nil || len(got) > 0 != tt.want {
			t.Errorf("iptables %s: conflicts %q, %v; want %v", tt.rule, got, err, tt.want)
		}
		if out, err := exec.Command("iptables-nft", "-t", "mangle", "-F").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
}
