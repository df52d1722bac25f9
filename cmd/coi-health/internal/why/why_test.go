package why

import (
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
)

func TestReasons(t *testing.T) {
	at := time.Date(2026, 5, 22, 10, 0, 0, 0, time.UTC)
	in := Input{
		Container: "coi-12345678-1", Now: at.Add(time.Hour),
		Session: &run.Session{Phase: run.Ended, SessionID: "6f", Ended: &run.End{At: at, Reason: "max_duration"}},
		Watch:   &run.WatchStatus{Frozen: &run.Mark{At: at.Add(4 * time.Minute), Event: "01A"}},
		Events: []Event{
			{Seq: 3, TS: at.Add(time.Minute), Category: "network", Action: "blocked", Rule: "block.private", Title: "blocked: private address", Peer: "10.0.0.5", Port: 5432},
			{Seq: 4, TS: at.Add(2 * time.Minute), Category: "dns", Action: "blocked", Rule: "dns.refused", Title: "name refused", Name: "x;rm -rf ~"},
			{Seq: 5, TS: at.Add(3 * time.Minute), Category: "shell", Action: "logged", Rule: "x"},
			{Seq: 6, TS: at.Add(4 * time.Minute), Category: "shell", Action: "paused", Rule: "shell.listen", Title: "shell listens", ID: "01A"},
		},
		Log: []string{"2026/05/22 10:10:00 [limits] out of memory: node", "2026/05/22 10:11:00 [setup] ready", "junk"},
	}
	got := Reasons(in)
	want := []struct{ kind, setting string }{
		{"out_of_memory", "limits.memory.limit"},
		{"frozen", "monitoring.auto_pause_on_high"},
		{"frozen", "monitoring.auto_pause_on_high"},
		{"refused_name", "network.allowed_domains"},
		{"refused_address", "network.allow_local_network_access"},
		{"time_limit", "limits.runtime.max_duration"},
	}
	if len(got) != len(want) {
		t.Fatalf("Reasons = %+v", got)
	}
	for i, w := range want {
		if got[i].Kind != w.kind || got[i].Setting != w.setting {
			t.Errorf("reason %d = %s %s; want %s %s", i, got[i].Kind, got[i].Setting, w.kind, w.setting)
		}
	}
	// R-OWN-08: a name from outside is quoted in the command.
	if got[3].Command != "coi netguard allow coi-12345678-1 'x;rm -rf ~'" {
		t.Errorf("command = %s", got[3].Command)
	}
}

func TestNothingToSay(t *testing.T) {
	if got := Reasons(Input{Session: &run.Session{Ended: &run.End{Reason: "exit"}}, Now: time.Now()}); len(got) != 0 {
		t.Errorf("Reasons of an orderly end = %+v", got)
	}
}

// What an earlier session of the same container name met is told as that.
func TestEarlierSession(t *testing.T) {
	began := time.Date(2026, 5, 22, 10, 0, 0, 500, time.UTC)
	got := Reasons(Input{
		Container: "coi-12345678-1", Now: began.Add(time.Hour), Session: &run.Session{Phase: run.Running, CreatedAt: began},
		Events: []Event{{TS: began.Add(-time.Minute), Category: "network", Action: "blocked", Rule: "block.private", Title: "before"}},
		Log:    []string{"2026/05/22 10:00:00 [limits] out of memory: node"},
	})
	if len(got) != 2 || got[0].Detail != "[limits] out of memory: node" || got[1].Detail != "before (in an earlier session)" {
		t.Errorf("Reasons = %+v", got)
	}
}

func TestFrozenByTheUser(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	killed := Event{TS: at.Add(-time.Hour), Title: "locked path", Rule: "escape.locked", Action: "killed"}
	for by, kind := range map[string]string{"user": "frozen", "monitor": "killed", "": "killed"} {
		got := Reasons(Input{Container: "coi-1a2b3c4d-1", Now: at, FrozenBy: by, Events: []Event{killed}})
		if got[0].Kind != kind {
			t.Errorf("frozen by %q: %s first, want %s", by, got[0].Kind, kind)
		}
	}
}
