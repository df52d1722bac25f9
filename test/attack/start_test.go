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

// R-REG-16: whichever way a container is started, it has the same guards.
func TestEveryStartIsGuarded(t *testing.T) {
	open, shut := hole(t)
	for way, start := range map[string]func(t *testing.T, dir string) string{
		"run":   func(t *testing.T, dir string) string { return begin(t, dir, "sleep 60").container },
		"shell": func(t *testing.T, dir string) string { return launched(t, dir) },
		"persistent again": func(t *testing.T, dir string) string {
			c := launched(t, dir, "--persistent")
			must(t, dir, "shutdown", c)
			return launched(t, dir, "--persistent")
		},
		"snapshot": func(t *testing.T, dir string) string {
			c := launched(t, dir)
			must(t, dir, "snapshot", "create", "-c", c, "a")
			must(t, dir, "snapshot", "restore", "--force", "-c", c, "a")
			must(t, dir, "container", "start", c)
			return c
		},
	} {
		t.Run(way, func(t *testing.T) {
			dir := workspace(t)
			guarded(t, dir, start(t, dir), open, shut)
		})
	}
}

// R-REG-26: a client that dies, a freeze and the end of a neighbour in the same
// workspace, killed or saved, take no guard away.
func TestGuardsStay(t *testing.T) {
	open, shut := hole(t)
	dir := workspace(t)
	c := launched(t, dir)
	guarded(t, dir, c, open, shut)

	client := exec.Command("script", "-qfec", the.Bin+"/coi attach "+c, "/dev/null")
	client.Env, client.Dir = the.Env(), dir
	stdin, err := client.StdinPipe() // an open end keeps the client there
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	err = house.Eventually(t.Context(), 20*time.Second, func() error {
		out, err := exec.Command("incus", "exec", c, "--user", "1000", "--", "tmux", "list-clients").Output()
		if err == nil && len(out) == 0 {
			err = errors.New("no client is attached")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	_ = client.Process.Kill()
	_ = stdin.Close()
	_ = client.Wait()
	guarded(t, dir, c, open, shut)

	must(t, dir, "freeze", c)
	must(t, dir, "unfreeze", c)
	guarded(t, dir, c, open, shut)

	must(t, dir, "kill", "--force", launched(t, dir))
	must(t, dir, "shutdown", launched(t, dir)) // saves
	guarded(t, dir, c, open, shut)
}

// R-REG-12: a container that Incus starts without coi, as at boot, has no
// network at all, not even what its session had.
func TestStartWithoutCoiIsClosed(t *testing.T) {
	open, shut := hole(t)
	dir := workspace(t)
	c := launched(t, dir, "--persistent")
	guarded(t, dir, c, open, shut)
	must(t, dir, "shutdown", c)
	if out, err := exec.Command("incus", "config", "get", c, "boot.autostart").Output(); err != nil || string(out) != "false\n" {
		t.Errorf("boot.autostart = %q, %v; want false", out, err)
	}
	if out, err := exec.Command("incus", "start", c).CombinedOutput(); err != nil {
		t.Fatalf("incus start: %v\n%s", err, out)
	}
	out, err := exec.Command("incus", "exec", c, "--", "sh", "-c", probe("169.254.0.1", open)+"; "+probe(uplink(t), shut)).Output()
	if err != nil || string(out) != "closed\nclosed\n" {
		t.Errorf("without a session: %q, %v; want everything closed", out, err)
	}
}
