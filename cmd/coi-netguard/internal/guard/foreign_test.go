package guard_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
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
