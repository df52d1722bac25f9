//go:build attack

package attack

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

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

// hole opens one port of the host to every session and returns it next to one
// that answers too and stays shut.
func hole(t *testing.T) (open, shut int) {
	t.Helper()
	open, shut = listen(t), listen(t)
	configure(t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", open))
	return open, shut
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

// A command and a session in the background have the same guards.
func TestStartsAreGuarded(t *testing.T) {
	open, shut := hole(t)
	for way, start := range map[string]func(t *testing.T, dir string) string{
		"run": func(t *testing.T, dir string) string {
			s := begin(t, dir, "sleep 60")
			s.underway()
			return s.container
		},
		"shell": func(t *testing.T, dir string) string { return launched(t, dir) },
	} {
		t.Run(way, func(t *testing.T) {
			dir := workspace(t)
			guarded(t, dir, start(t, dir), open, shut)
		})
	}
}
