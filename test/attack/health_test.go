//go:build attack

package attack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

type judgement struct {
	DurationMS int64 `json:"duration_ms"`
	Checks     map[string]struct {
		Group, Status, Message string
	} `json:"checks"`
}

// probing is a coi health --probe on its way.
type probing struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
}

func probes(t *testing.T) *probing {
	t.Helper()
	p := &probing{}
	p.cmd = the.Command(t.Context(), house.Call{Dir: workspace(t), Args: []string{"health", "--probe", "--json"}})
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *probing) end(t *testing.T) judgement {
	t.Helper()
	_ = p.cmd.Wait() // the status is in the JSON
	var j judgement
	if err := json.Unmarshal(p.out.Bytes(), &j); err != nil {
		t.Fatalf("%v\n%s\n%s", err, p.out.String(), p.errs.String())
	}
	return j
}

func (p *probing) container(letter string) string {
	return fmt.Sprintf("%shealth-%d-%s", the.Prefix, p.cmd.Process.Pid, letter)
}

// stopped holds the program at the moment both containers have their policy,
// does something to the host, and lets it go on.
func (p *probing) stopped(t *testing.T, do func(a run.NetStatus)) {
	t.Helper()
	var a run.NetStatus
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		for _, letter := range []string{"b", "a"} {
			if err := run.Read(the.Home.Run(p.container(letter)+run.NetStatusFile), &a); err != nil {
				return err
			}
			if a.Phase != run.NetPolicy || a.State == run.NetPending {
				return errors.New(a.Phase + " " + a.State)
			}
		}
		return nil
	})
	if err == nil {
		err = p.cmd.Process.Signal(syscall.SIGSTOP)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, p.errs.String())
	}
	do(a)
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft: no container, interface, rule, lease, folder or record of a run.
func (p *probing) nothingLeft(t *testing.T) {
	t.Helper()
	mark := fmt.Sprintf("health-%d-", p.cmd.Process.Pid)
	err := house.Eventually(t.Context(), 20*time.Second, func() error {
		names, err := the.Containers()
		if err != nil {
			return err
		}
		if strings.Contains(strings.Join(names, " "), mark) {
			return fmt.Errorf("containers %v", names)
		}
		if links, err := exec.Command("ip", "-d", "link").CombinedOutput(); err != nil || strings.Contains(string(links), mark) {
			return fmt.Errorf("an interface is left: %w", err)
		}
		if _, err := os.Lstat(fmt.Sprintf("/var/tmp/coi-health-%d-%d", os.Getuid(), p.cmd.Process.Pid)); err == nil {
			return errors.New("its folder is left")
		}
		leases, err := home.ReadFile(the.Home.Run(run.NetguardPoolFile))
		if err != nil || strings.Contains(string(leases), mark) {
			return fmt.Errorf("a lease is left: %w", err)
		}
		var left []string
		err = filepath.WalkDir(the.Home.Dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(path, mark) {
				left = append(left, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if len(left) > 0 {
			return fmt.Errorf("files are left: %v", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// R-HLT-01: with the guards of a session every probe says ok; the one that needs
// the internet may warn. How long it takes is a matter of the machine.
func TestProbesOfGuardedMachine(t *testing.T) {
	p := probes(t)
	j := p.end(t)
	n := 0
	for name, c := range j.Checks {
		if c.Group != "probes" {
			continue
		}
		n++
		if c.Status != "ok" && (name != "container_connectivity" || c.Status == "failed") {
			t.Errorf("%s = %s: %s", name, c.Status, c.Message)
		}
	}
	if n != 20 {
		t.Errorf("%d probes, want 20", n)
	}
	t.Logf("took %d ms", j.DurationMS)
	p.nothingLeft(t)
}

// T-H-02, R-HLT-01: with no rules at all on the host no network probe may say ok
// or that it could not know: all of them are failed.
func TestProbesWithoutRules(t *testing.T) {
	p := probes(t)
	free := func() {}
	p.stopped(t, func(run.NetStatus) {
		if err := syscall.Kill(home.Holder(the.Home.Run(run.NetguardLock)), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The sessions would start another guard: its place is taken.
		lock, err := home.WaitLock(t.Context(), the.Home.Run(run.NetguardLock))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(lock.Unlock)
		free = lock.Unlock
		err = house.Eventually(t.Context(), 5*time.Second, func() error {
			out, err := exec.Command("nft", "delete", "table", "inet", the.Home.Table()).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range []string{"a", "b"} {
			unrule(t, p.container(letter))
		}
	})
	for name, c := range p.end(t).Checks {
		if strings.HasPrefix(name, "network_") && c.Group == "probes" && c.Status != "failed" {
			t.Errorf("without rules %s = %s: %s; want failed", name, c.Status, c.Message)
		}
	}
	free()
	must(t, workspace(t), "run", "--", "true") // the next guard gives back the leases of the killed one
	p.nothingLeft(t)
}

// unrule takes from an interface what the guard and Incus gave it besides rules.
func unrule(t *testing.T, container string) {
	t.Helper()
	var st run.NetStatus
	if err := run.Read(the.Home.Run(container+run.NetStatusFile), &st); err != nil {
		t.Fatal(err)
	}
	for exec.Command("ip", "rule", "del", "iif", st.Veth, "pref", "5200").Run() == nil {
	}
	for _, set := range []string{"net.ipv4.conf." + st.Veth + ".rp_filter=0", "net.ipv6.conf." + st.Veth + ".disable_ipv6=0"} {
		if out, err := exec.Command("sysctl", "-qw", set).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", set, err, out)
		}
	}
	if out, err := exec.Command("nft", "delete", "chain", "inet", "incus", "prert."+container+".eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// T-H-02, R-HLT-01: when something else on the host drops every packet, the
// control fails, and a probe with a control says that it does not know.
func TestProbesWhereEverythingIsDropped(t *testing.T) {
	p := probes(t)
	const table = "coi_test_drop"
	p.stopped(t, func(a run.NetStatus) {
		script := fmt.Sprintf("table inet %s { chain pre { type filter hook prerouting priority -300; policy accept; iifname %q drop; }; }", table, a.Veth)
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	t.Cleanup(func() {
		if out, err := exec.Command("nft", "delete", "table", "inet", table).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	j := p.end(t)
	for _, name := range []string{"network_private", "network_host", "network_spoof", "network_dns"} {
		if c := j.Checks[name]; c.Status != "skipped" || !strings.Contains(c.Message, "control failed") {
			t.Errorf("where everything is dropped %s = %s: %s; want skipped: control failed", name, c.Status, c.Message)
		}
	}
	for _, name := range []string{"network_metadata", "network_onlink"} {
		if c := j.Checks[name]; c.Status != "failed" {
			t.Errorf("where everything is dropped %s = %s: %s; want failed, it was not rejected", name, c.Status, c.Message)
		}
	}
	p.nothingLeft(t)
}

// T-H-10: Ctrl-C leaves nothing, whenever it comes.
func TestInterruptedProbesLeaveNothing(t *testing.T) {
	for _, at := range []string{"first container", "second container", "monitor"} {
		p := probes(t)
		err := house.Eventually(t.Context(), 30*time.Second, func() error {
			switch at {
			case "first container":
				_, err := os.Lstat(the.Home.Run(p.container("a") + run.SessionFile))
				return err
			case "second container":
				var s run.Session
				if err := run.Read(the.Home.Run(p.container("b")+run.SessionFile), &s); err != nil || s.Phase != run.Running {
					return fmt.Errorf("%s %w", s.Phase, err)
				}
				return nil
			}
			b, err := home.ReadFile(the.Home.Audit(p.container("a") + ".jsonl"))
			if err == nil && !bytes.Contains(b, []byte("block.onlink")) {
				err = errors.New("not yet at the monitor")
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait()
		if code := p.cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%s: exit %d, want 130\n%s", at, code, p.errs.String())
		}
		t.Logf("interrupted at: %s; said: %s", at, p.errs.String())
		p.nothingLeft(t)
	}
}

// T-H-10: a run that was killed is cleaned up by the next one.
func TestKilledProbesAreRemovedByTheNext(t *testing.T) {
	p := probes(t)
	p.stopped(t, func(run.NetStatus) {})
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	names, err := the.Containers()
	if err != nil || !strings.Contains(strings.Join(names, " "), p.container("a")) {
		t.Fatalf("containers %v, %v: nothing is left to be removed", names, err)
	}
	next := probes(t)
	next.end(t)
	next.nothingLeft(t)
	p.nothingLeft(t)
}

// state is what a plain run must leave as it is: files, network, Incus.
func state(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, top := range []string{the.Home.Dir, dir} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			// Guards and supervisors go on writing what they do.
			if strings.HasPrefix(path, the.Home.Run()) || strings.Contains(path, "/sessions-") || strings.HasPrefix(path, the.Home.Audit()) || strings.HasPrefix(path, the.Home.Logs()) {
				fmt.Fprintln(&b, path, st.Mode())
				return nil
			}
			fmt.Fprintln(&b, path, st.Mode(), st.Size(), st.ModTime().UnixNano())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{
		{"ip", "rule"},
		{"nft", "-s", "-t", "list", "table", "inet", the.Home.Table()},
		{"incus", "list", "-f", "csv", "-c", "n", "^" + the.Prefix},
		{"incus", "image", "list", "-f", "csv", "-c", "f"},
		{"incus", "storage", "list", "-f", "csv"},
		{"incus", "profile", "show", "default"},
	} {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
		if argv[0] == "ip" {
			out = []byte(strings.Join(mine(string(out)), "\n")) // others start and end meanwhile
		}
		b.Write(out)
	}
	return b.String()
}

// differing are the lines that only one of two texts has.
func differing(a, b string) string {
	count := map[string]int{}
	for line := range strings.Lines(a) {
		count[line]--
	}
	for line := range strings.Lines(b) {
		count[line]++
	}
	var out strings.Builder
	for line, n := range count {
		if n != 0 {
			fmt.Fprintf(&out, "%+d %s", n, line)
		}
	}
	return out.String()
}

func mine(rules string) (list []string) {
	for line := range strings.Lines(rules) {
		if strings.Contains(line, "iif "+the.Home.VethTag()) || strings.Contains(line, "iif coi"+the.Home.VethTag()) {
			list = append(list, line)
		}
	}
	return list
}

// T-H-07: a plain run changes nothing, with a session running, and ends in time.
func TestPlainHealthChangesNothing(t *testing.T) {
	dir := workspace(t)
	name := launched(t, dir)
	// The guards write a view two seconds after they first see a container.
	for _, view := range []string{run.NetViewFile, run.WatchViewFile} {
		err := house.Eventually(t.Context(), 20*time.Second, func() error {
			_, err := os.Lstat(the.Home.Run(name + view))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := state(t, dir)
	r := do(t, dir, "health", "--json")
	var j judgement
	if err := json.Unmarshal([]byte(r.Stdout), &j); err != nil || len(j.Checks) < 50 {
		t.Fatalf("%v: %s", err, r)
	}
	if r.Took > 3500*time.Millisecond {
		t.Errorf("took %s", r.Took)
	}
	if after := state(t, dir); after != before {
		t.Errorf("changed:\n%s", differing(before, after))
	}
	for _, name := range []string{"netguard", "guard_rules", "watch", "watched", "security_posture"} {
		if c := j.Checks[name]; c.Status != "ok" && c.Status != "warning" {
			t.Errorf("%s = %s: %s with a session running", name, c.Status, c.Message)
		}
	}
}

// T-H-03: a guard that is gone is said by the checks that promise it.
func TestHealthSeesDeadGuard(t *testing.T) {
	dir := workspace(t)
	name := launched(t, dir)
	// The supervisor would start another one before anybody can look.
	var rec run.Session
	if err := run.Read(the.Home.Run(name+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("no supervisor: %v", err)
	}
	if err := syscall.Kill(rec.Supervisor.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(rec.Supervisor.PID, syscall.SIGCONT) })
	pid := home.Holder(the.Home.Run(run.NetguardLock))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := house.Eventually(t.Context(), 20*time.Second, func() error {
		r := do(t, dir, "health", "--json")
		var j judgement
		if err := json.Unmarshal([]byte(r.Stdout), &j); err != nil {
			return err
		}
		if c := j.Checks["netguard"]; c.Status != "failed" || r.Code != 2 {
			return fmt.Errorf("netguard = %s: %s, exit %d", c.Status, c.Message, r.Code)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
