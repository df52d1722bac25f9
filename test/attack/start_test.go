//go:build attack

package attack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// launched starts a shell in the background and returns its container.
func launched(t *testing.T, dir string, more ...string) string {
	t.Helper()
	r := must(t, dir, append([]string{"shell", "--background", "--debug"}, more...)...)
	name := strings.TrimSpace(r.Stdout)
	t.Cleanup(func() {
		if out, err := exec.Command("incus", "delete", "-f", name).CombinedOutput(); err != nil && !strings.Contains(string(out), "not found") {
			t.Errorf("clean up %s: %v: %s", name, err, out)
		}
	})
	return name
}

// underway waits until the command of a session runs.
func (s *session) underway() {
	s.t.Helper()
	err := house.Eventually(s.t.Context(), 30*time.Second, func() error {
		var rec run.Session
		if err := run.Read(the.Home.Run(s.container+run.SessionFile), &rec); err != nil {
			return err
		}
		if rec.Phase != run.Running || rec.Supervisor == nil {
			return fmt.Errorf("phase %s", rec.Phase)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.out.String())
	}
}

// guarded fails unless both guards have a container and the firewall judges its
// packets: the hole is reached, the port beside it is not.
func guarded(t *testing.T, dir, container string, open, shut int) {
	t.Helper()
	err := house.Eventually(t.Context(), 15*time.Second, func() error {
		var n run.NetStatus
		var w run.WatchStatus
		if err := errors.Join(run.Read(the.Home.Run(container+run.NetStatusFile), &n), run.Read(the.Home.Run(container+run.WatchStatusFile), &w)); err != nil {
			return err
		}
		if n.State != run.NetEnforcing || !n.InForce || n.Phase != run.NetPolicy || !w.Armed || w.Frozen != nil {
			return fmt.Errorf("firewall %+v, monitor %+v", n, w)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	script := probe("host.test", open) + "; " + probe("169.254.0.1", shut) + "; " + probe(uplink(t), shut)
	r := must(t, dir, "container", "exec", container, "--capture", "--format", "raw", "--", "sh", "-c", script)
	if want := "reached\nclosed\nclosed\n"; r.Stdout != want {
		t.Errorf("%s\nwant %q", r, want)
	}
}

// strict are limits that every entry point has to apply.
const strict = "[limits.memory]\nlimit = \"512MiB\"\n[limits.runtime]\nmax_processes = 300\n"

// sameRules fails unless network, limits, locks and monitor of a session in a
// git repository are those of every other.
func sameRules(t *testing.T, dir, container string, open, shut int) {
	t.Helper()
	guarded(t, dir, container, open, shut)
	for key, want := range map[string]string{"limits.memory": "536870912B", "limits.processes": "300"} {
		out, err := exec.Command("incus", "config", "get", container, key).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s of %s = %q, %v; want %s", key, container, got, err, want)
		}
	}
	script := "cd /workspace && touch free && echo free; touch .git/hooks/pre-commit 2>/dev/null && echo planted || echo locked"
	r := must(t, dir, "container", "exec", container, "--capture", "--format", "raw", "--", "sh", "-c", script)
	if !strings.HasPrefix(r.Stdout, "free\nlocked\n") {
		t.Errorf("%s\nwant the workspace writable and its hooks locked", r)
	}
}

// attached types a probe into an attached bash and returns what it printed.
func attached(t *testing.T, dir, container, line string) string {
	t.Helper()
	cmd := the.Command(t.Context(), house.Call{Dir: dir, Args: []string{"attach", "--bash", container}, Stdin: strings.NewReader(line + "; exit\n")})
	argv := append([]string{"script", "-qec"}, strings.Join(cmd.Args, " "), "/dev/null")
	cmd.Args, cmd.Path = argv, "/usr/bin/script"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// A guard that stops between the start of the container and its policy (step 16)
// ends the launch in restricted mode: exit 1, and no container.
//
// session §3.
func TestGuardStopsWhileASessionStarts(t *testing.T) {
	configure(t, strict)
	dir := workspace(t)
	other := launched(t, dir) // so the guard runs
	guard := home.Holder(the.Home.Run(run.NetguardLock))
	if guard <= 1 {
		t.Fatal("no guard runs")
	}
	cmd := the.Command(t.Context(), house.Call{Dir: dir, Args: []string{"shell", "--background", "--debug"}})
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			names, _ := run.Names(the.Home.Run(), run.NetFile)
			for _, n := range names {
				var s run.Net
				if n == other || run.Read(the.Home.Run(n+run.NetFile), &s) != nil || s.Phase != run.NetHold {
					continue
				}
				if _, err := os.Stat("/sys/class/net/" + s.Veth); err == nil {
					stopped <- syscall.Kill(guard, syscall.SIGSTOP)
					return
				}
			}
			if t.Context().Err() != nil {
				return
			}
		}
	}()
	err := cmd.Wait()
	select {
	case err := <-stopped:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("the guard was not stopped in time: %v, %s; the instrument does not work", err, errs.String())
	}
	t.Cleanup(func() { _ = syscall.Kill(guard, syscall.SIGCONT) })
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "guard") || !strings.Contains(errs.String(), "hint: ") {
		t.Errorf("start with a guard that stopped: %v, %q, %q; want exit 1 and why", err, out.String(), errs.String())
	}
	names, err := the.Containers()
	if err != nil || !slices.Equal(names, []string{other}) {
		t.Errorf("containers: %v, %v; want only the one before", names, err)
	}
}

// R-REG-16: every way to a running session has the same network, limits, locks
// and monitor.
func TestStartsAreGuarded(t *testing.T) {
	open, shut := listen(t), listen(t)
	configure(t, strict+fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", open))
	kept := func(t *testing.T, dir string) string { return launched(t, dir, "--persistent") }
	for way, start := range map[string]func(t *testing.T, dir string) string{
		"run": func(t *testing.T, dir string) string {
			s := begin(t, dir, "sleep 60")
			s.underway()
			return s.container
		},
		"shell --background": func(t *testing.T, dir string) string { return launched(t, dir) },
		"attach": func(t *testing.T, dir string) string {
			c := launched(t, dir)
			got := attached(t, dir, c, probe("host.test", open)+"; "+probe(uplink(t), shut))
			if !strings.Contains(got, "reached") || !strings.Contains(got, "closed") {
				t.Errorf("attached: %q; want the hole reached and the other port closed", got)
			}
			return c
		},
		"resume of an ephemeral one": func(t *testing.T, dir string) string {
			c := launched(t, dir)
			must(t, dir, "shutdown", c)
			return launched(t, dir, "--resume")
		},
		"resume of a persistent one": func(t *testing.T, dir string) string {
			c := kept(t, dir)
			must(t, dir, "shutdown", c)
			return launched(t, dir, "--resume")
		},
		"container start": func(t *testing.T, dir string) string {
			c := kept(t, dir)
			must(t, dir, "container", "stop", c)
			must(t, dir, "container", "start", c)
			return c
		},
		"snapshot restore": func(t *testing.T, dir string) string {
			c := kept(t, dir)
			must(t, dir, "snapshot", "create", "-c", c, "a")
			must(t, dir, "snapshot", "restore", "--force", "-c", c, "a")
			must(t, dir, "container", "start", c)
			return c
		},
		"container launch": func(t *testing.T, dir string) string {
			name := fmt.Sprintf("%slaunch-%d", the.Prefix, time.Now().UnixNano()%1_000_000)
			must(t, dir, "container", "launch", house.Image, name)
			t.Cleanup(func() { _ = exec.Command("incus", "delete", "-f", name).Run() })
			return name
		},
	} {
		t.Run(way, func(t *testing.T) {
			dir := workspace(t)
			if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
				t.Fatalf("git init: %v\n%s", err, out)
			}
			if out, err := exec.Command("chown", "-R", fmt.Sprint(house.Owner), dir).CombinedOutput(); err != nil {
				t.Fatalf("chown: %v\n%s", err, out)
			}
			sameRules(t, dir, start(t, dir), open, shut)
		})
	}
}
