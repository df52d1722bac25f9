package engine

import (
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// judge runs one sample and returns the highest level of a rule, or of any
// rule when rule is empty.
func judge(s detect.Sample, rule string) coi.Level {
	e := New(Config{Workspace: "/workspace", Home: "/home/code", Locked: []string{"/workspace/.git/hooks"}})
	evs := s.Events
	if s.Line != "" {
		evs = []event.Event{{Type: event.Exec, PID: 2, PPID: 1, Exe: "/usr/bin/bash", Argv: []string{"bash", "-c", s.Line}, CWD: "/workspace"}}
	}
	best := coi.Level("")
	for _, ev := range evs {
		for _, f := range e.Process(ev) {
			if (rule == "" || f.Rule == rule) && f.Level.Rank() > best.Rank() {
				best = f.Level
			}
		}
	}
	return best
}

// TestSamples runs the samples of every detector (T-W-02).
func TestSamples(t *testing.T) {
	for _, d := range detect.All {
		t.Run(d.ID, func(t *testing.T) {
			if len(d.Fire) == 0 || len(d.Quiet) == 0 {
				t.Fatal("a detector needs samples of both kinds")
			}
			for _, s := range d.Fire {
				if got := judge(s, d.ID); got.Rank() < s.Level.Rank() {
					t.Errorf("fire: %q gives %q; want %s", s.Line, got, s.Level)
				}
			}
			for _, s := range d.Quiet {
				limit := s.Level
				if limit == "" {
					limit = coi.Warning
				}
				if got := judge(s, d.ID); got.Rank() >= limit.Rank() {
					t.Errorf("quiet: %q %v gives %q", s.Line, s.Events, got)
				}
			}
		})
	}
}
