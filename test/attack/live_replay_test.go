//go:build attack

package attack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// T-W-18: the recorded events of a run give the same verdicts again. What looks
// at all descriptors at once is not recorded, and left out.
func TestReplayIsTheLiveRun(t *testing.T) {
	configure(t, "[monitoring]\nauto_pause_on_high = false\nauto_kill_on_critical = false\n")
	dir := workspace(t)
	s := begin(t, dir, awaitGo+"sleep 60")
	s.underway()
	goOn(t, dir, `sudo cat /etc/shadow > /dev/null; echo ZWNobyBoaQo= | base64 -d | bash; find / -maxdepth 2 -name id_rsa 2>/dev/null
cat ~/.aws/credentials 2>/dev/null; sudo useradd -o -u 0 toor; ls -la > /dev/null; git --version; env | sort > /dev/null; touch done`)
	err := house.Eventually(t.Context(), 30*time.Second, func() error { _, err := os.Stat(filepath.Join(dir, "done")); return err })
	if err != nil {
		t.Fatalf("%v\n%s", err, s.out.String())
	}
	recording := filepath.Join(t.TempDir(), "recording.jsonl")
	var live, again []string
	err = house.Eventually(t.Context(), 30*time.Second, func() error {
		b, err := os.ReadFile(the.Home.Run(s.container + run.WatchEventsFile))
		if err != nil {
			return err
		}
		if err := os.WriteFile(recording, b, 0o600); err != nil {
			return err
		}
		live, again = liveVerdicts(t, s.container), replayed(t, dir, recording)
		if !slices.Contains(kinds(live), "cred.shadow") || !slices.Contains(kinds(live), "priv.uid0") {
			return fmt.Errorf("live %v, replay %v; want all acts in it", live, again)
		}
		if !slices.Equal(live, again) {
			return fmt.Errorf("live   %v\nreplay %v", live, again)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// kinds are the rules of verdicts.
func kinds(verdicts []string) (out []string) {
	for _, v := range verdicts {
		rule, _, _ := strings.Cut(v, " ")
		out = append(out, rule)
	}
	return out
}

// liveVerdicts are the findings of the trail that come from recorded events.
func liveVerdicts(t *testing.T, container string) []string {
	t.Helper()
	b, err := os.ReadFile(the.Home.Audit(container + ".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		var r struct {
			Rule, Level, Source string
			PID                 int
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Source == "watch" {
			out = keep(out, r.Rule, r.Level, r.PID)
		}
	}
	return out
}

// replayed are the findings of a recording.
func replayed(t *testing.T, dir, file string) []string {
	t.Helper()
	r := must(t, dir, "watch", "replay", "--json", file)
	var got struct {
		Verdicts []struct {
			Findings []struct {
				Rule, Level string
				PID         int
			}
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range got.Verdicts {
		for _, f := range v.Findings {
			out = keep(out, f.Rule, f.Level, f.PID)
		}
	}
	return out
}

// keep adds a verdict once, in order.
func keep(out []string, rule, level string, pid int) []string {
	if level != "warning" && level != "high" && level != "critical" || strings.HasPrefix(rule, "shell.net-") || strings.HasPrefix(rule, "sensor.") {
		return out
	}
	v := fmt.Sprintf("%s %s %d", rule, level, pid)
	i, found := slices.BinarySearch(out, v)
	if found {
		return out
	}
	return slices.Insert(out, i, v)
}
