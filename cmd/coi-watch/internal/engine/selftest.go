package engine

import (
	"fmt"
	"path"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// TestResult is the outcome of TestRules.
type TestResult struct {
	Tested int
	Failed []string // one sentence each
}

// TestRules runs samples: the detectors' own, and for Sigma rules the quiet
// samples of all detectors, on which they may say warning at most for the hard
// ones and nothing above. With id, only that rule; with Config.Only, only the
// rules of that file. Rules of files that could not be loaded count as failed.
func TestRules(cfg Config, id string) TestResult {
	var res TestResult
	for _, d := range detect.All {
		if cfg.Only != "" || id != "" && id != d.ID {
			continue
		}
		res.Tested++
		res.Failed = append(res.Failed, testDetector(d)...)
	}
	e := New(cfg)
	cfg.Rules = e.rules
	for _, info := range e.Rules() {
		if info.Source == "coi" || id != "" && id != info.ID || cfg.Only != "" && path.Base(info.Source) != cfg.Only {
			continue
		}
		res.Tested++
		if !info.Loaded {
			res.Failed = append(res.Failed, info.ID+": not loaded: "+info.Reason)
			continue
		}
		line := ""
		if c := e.rules.common[strings.TrimPrefix(info.ID, "sigma:")]; c.from.Rank() >= coi.High.Rank() {
			line = c.line
		} else if info.Level.Rank() >= coi.High.Rank() {
			line = disturbs(cfg, info.ID)
		}
		if line != "" {
			res.Failed = append(res.Failed, fmt.Sprintf("%s: would stop ordinary work: %q", info.ID, line))
		}
	}
	return res
}

// disturbs is the first quiet sample that a rule fires on.
func disturbs(cfg Config, id string) string {
	for _, d := range detect.All {
		for _, s := range d.Quiet {
			if s.Line != "" && Judge(cfg, s, id) != "" {
				return s.Line
			}
		}
	}
	return ""
}

func testDetector(d detect.Detector) []string {
	var out []string
	plain := Config{Workspace: "/workspace", Home: "/home/code", User: "code", Locked: []string{"/workspace/.git/hooks"}}
	for _, s := range d.Fire {
		if got := Judge(plain, s, d.ID); got.Rank() < s.Level.Rank() {
			out = append(out, fmt.Sprintf("%s: must fire at %s, gives %q: %s", d.ID, s.Level, got, name(s)))
		}
	}
	for _, s := range d.Quiet {
		limit := s.Level
		if limit == "" {
			limit = coi.Warning
		}
		if got := Judge(plain, s, d.ID); got.Rank() >= limit.Rank() {
			out = append(out, fmt.Sprintf("%s: must be quiet, gives %q: %s", d.ID, got, name(s)))
		}
	}
	return out
}

func name(s detect.Sample) string {
	if s.Line != "" {
		return s.Line
	}
	var w []string
	for _, e := range s.Events {
		w = append(w, string(e.Type)+" "+e.Path+e.Exe)
	}
	return strings.Join(w, ", ")
}

// Judge runs one sample in a fresh engine and returns the highest level that
// the rule, or any rule when it is empty, gives.
func Judge(cfg Config, s detect.Sample, rule string) coi.Level {
	e := New(cfg)
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
