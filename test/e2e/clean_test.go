//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
)

// S55, S68, S69, cli §5.10: what did not end in order is found and removed, its
// conversation saved; a session whose client is gone goes on, and is nothing to
// clean.
func TestClean(t *testing.T) {
	dir := workspace(t)
	lives, lost := shell(t, dir), shell(t, dir)
	var rec run.Session
	if err := run.Read(the.Home.Run(lost+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("record of %s: %v, %+v", lost, err, rec)
	}
	// As after a loss of power: no supervisor, and the container is stopped.
	if err := unix.Kill(rec.Supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("incus", "stop", "--force", lost).CombinedOutput(); err != nil {
		t.Fatalf("incus stop: %v\n%s", err, out)
	}
	must(t, dir, "clean", "--force")
	gone(t, 30*time.Second, strings.TrimPrefix(lost, the.Prefix))
	saved := false
	for _, s := range list(t, dir, "--all").Saved {
		saved = saved || s.ID == rec.SessionID
	}
	if !saved {
		t.Errorf("the conversation %s is not saved", rec.SessionID)
	}
	must(t, dir, "clean", "--orphans", "--force")
	rules, err := exec.Command("nft", "list", "table", "inet", the.Home.Table()).CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, rules)
	}
	var other run.Session
	if err := run.Read(the.Home.Run(lives+run.SessionFile), &other); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(rules), rec.Veth) || !strings.Contains(string(rules), other.Veth) {
		t.Errorf("rules after the clean up: want those of %s and none of %s\n%s", other.Veth, rec.Veth, rules)
	}
	if s := list(t, dir).status(lives); s != "running" {
		t.Errorf("%s is %q; want it to go on", lives, s)
	}
}
