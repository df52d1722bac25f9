//go:build attack

package netguard

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/code-on-incus/coi/pkg/run"
)

// TestKilledGuard (T-NG-10, T-NG-13, R-NET-14, R-NET-16): kill -9 at any moment opens nothing,
// and the next guard goes on where the last one was.
func TestKilledGuard(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newNetlab(t)
	l.start()
	st := l.put("coi-kill-1", "policy", "restricted", 1)
	l.attach("c", "coi-kill-1", st.IPv4)
	l.until(func() bool { return l.reaches("c", "http://"+public+"/") })
	for i := range 5 {
		if err := l.guard.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = l.guard.Wait()
		if l.reaches("c", "http://"+private+"/") || l.reaches("c", "http://"+metadata+"/") {
			t.Error("a dead guard lets through what it blocked")
		}
		if !l.reaches("c", "http://"+public+"/") {
			t.Error("a dead guard stops what it allowed")
		}
		l.start()
		if st := l.put("coi-kill-1", "policy", "restricted", i+2); st.State != run.NetEnforcing {
			t.Fatalf("%+v", st)
		}
	}
	// Positive control: the same listener without the block.
	l.put("coi-kill-1", "policy", "open", 10)
	if !l.reaches("c", "http://"+private+"/") {
		t.Error("control: open mode must reach the private listener")
	}
}

// TestSpellings (T-NG-21, R-NET-06): a closed address is closed in every spelling, to
// curl, python and node.
func TestSpellings(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newNetlab(t)
	l.serve("", "0.0.0.0", 8080)
	l.start()
	st := l.put("coi-spell-1", "policy", "restricted", 1)
	l.attach("c", "coi-spell-1", st.IPv4)
	l.until(func() bool { return l.reaches("c", "http://"+public+"/") })
	python := func(url string) []string {
		return []string{"python3", "-c", "import urllib.request,sys; urllib.request.urlopen(sys.argv[1],timeout=2).read()", url}
	}
	node := func(url string) []string {
		return []string{"node", "-e", "fetch(process.argv[1],{signal:AbortSignal.timeout(2000)}).then(()=>process.exit(0),()=>process.exit(1))", url}
	}
	closed := []string{
		"http://169.254.169.254/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/",
		"http://10.9.9.9/", "http://168364297/", "http://0x0a.9.9.9/", "http://10.591113/",
		"http://" + hostAddr + ":8080/", "http://169.254.0.1:8080/", "http://0.0.0.0:8080/", "http://127.1:8080/", "http://[::1]:8080/",
	}
	for _, url := range closed {
		for _, program := range [][]string{nil, python(url), node(url)} {
			if l.reaches("c", url, program...) {
				t.Errorf("%s was reached by %v", url, program)
			}
		}
	}
	l.put("coi-spell-1", "policy", "open", 2)
	for _, url := range closed[:2] {
		if !l.reaches("c", url) {
			t.Errorf("control: %s must be reached in open mode", url)
		}
	}
	for _, program := range [][]string{python("http://" + public + "/"), node("http://" + public + "/")} {
		if !l.reaches("c", "", program...) {
			t.Errorf("control: %v does not reach the public listener", program[0])
		}
	}
}

// TestOneRight (T-NG-60, R-NET-15, R-OWN-01): the guard works as a user with CAP_NET_ADMIN and
// nothing else, and starts no program.
func TestOneRight(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newNetlab(t)
	for _, p := range []string{l.dir, l.at.Dir, l.at.Run()} {
		if err := os.Chown(p, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for p := filepath.Dir(l.dir); p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The tag of the guard is that of its user.
	l.at.UID = 1000
	l.as = []string{"setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin", "--no-new-privs"}
	l.start()
	owned := func(name string) {
		if err := os.Chown(l.at.Run(name+run.NetFile), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	s := l.spec("coi-right-1")
	if err := run.Write(l.at.Run("coi-right-1"+run.NetFile), &s); err != nil {
		t.Fatal(err)
	}
	owned("coi-right-1")
	l.until(func() bool { _, err := os.Stat(l.at.Run(run.NetguardFile)); return err == nil })
	if err := l.guard.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	tmp := l.at.Run(".new")
	if err := run.Write(tmp, &s); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, l.at.Run("coi-right-1"+run.NetFile)); err != nil {
		t.Fatal(err)
	}
	var st run.NetStatus
	l.until(func() bool {
		return l.status("coi-right-1", &st) && st.Generation == 2
	})
	if st.State != run.NetEnforcing {
		t.Fatalf("%+v", st)
	}
	l.attach("c", "coi-right-1", st.IPv4)
	l.until(func() bool { return l.reaches("c", "http://"+public+"/") })
	if l.reaches("c", "http://"+private+"/") {
		t.Error("the private listener was reached")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.guard.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000001000", "CapPrm:\t0000000000001000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in %s", want, status)
		}
	}
	if out, _ := exec.Command("pgrep", "-P", fmt.Sprint(l.guard.Process.Pid)).Output(); len(out) > 0 {
		t.Errorf("the guard has children: %s", out)
	}
}

// TestManyCycles (T-NG-62, R-REG-06, R-REG-21): 500 containers come and go through a pool of
// few addresses and leave nothing.
func TestManyCycles(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newNetlab(t)
	if err := os.WriteFile(l.at.Config(), []byte("[network]\npool = \"10.213.0.0/29\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.until(func() bool { _, err := os.Stat(l.at.Run(run.NetguardFile)); return err == nil })
	lines := func() int { return strings.Count(l.run("nft", "list", "table", "inet", l.at.Table()), "\n") }
	before := lines()
	for i := range 500 {
		name := fmt.Sprintf("coi-cycle-%d", i)
		if st := l.put(name, "hold", "allowlist", 1); st.State != run.NetEnforcing {
			t.Fatalf("%d: %+v", i, st)
		}
		if err := os.Remove(l.at.Run(name + run.NetFile)); err != nil {
			t.Fatal(err)
		}
		l.until(func() bool { _, err := os.Stat(l.at.Run(name + run.NetStatusFile)); return os.IsNotExist(err) })
	}
	if after := lines(); after != before {
		t.Errorf("%d lines of rules before, %d after", before, after)
	}
	if out := l.run("ip", "rule"); strings.Contains(out, "5200:") {
		t.Errorf("policy rules are left: %s", out)
	}
}
