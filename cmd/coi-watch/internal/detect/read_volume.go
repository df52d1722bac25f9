package detect

import (
	"regexp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var readVolume = Detector{
	ID: "read.volume", Level: coi.High, Wants: []event.Type{event.Counter},
	Title: "very much read or written", Why: "reading everything is the first half of taking it away",
	// n.mb: MB read or written by the process within one poll; n.rate: MB/s over
	// three; n.out_mb: sent by its tree in the last 60 s.
	Detect: func(ev event.Event, v track.View) []Finding {
		set := v.Settings()
		mb, rate := set.FileReadMB, set.FileReadRateMB
		if mb == 0 {
			mb = 50
		}
		if rate == 0 {
			rate = 10
		}
		if ev.N["mb"] <= mb && ev.N["rate"] <= rate || exemptReader(v) {
			return nil
		}
		level := coi.Warning
		if set.FileReadTrusted || ev.N["out_mb"] > 0.2*ev.N["mb"] && ev.N["mb"] > 0 {
			level = coi.High
		}
		return one(Finding{Level: level, Title: "very much read or written by " + v.Proc().Name, PID: ev.PID})
	},
	Fire:  []Sample{{Level: coi.High, Events: []event.Event{{Type: event.Counter, PID: 5, Exe: "/tmp/x", N: map[string]float64{"mb": 500, "out_mb": 300}}}}, {Level: coi.Warning, Events: []event.Event{{Type: event.Counter, PID: 5, Exe: "/usr/bin/cat", N: map[string]float64{"mb": 500}}}}},
	Quiet: []Sample{{Events: []event.Event{{Type: event.Counter, PID: 5, Exe: "/usr/bin/npm", N: map[string]float64{"mb": 900}}}}, {Events: []event.Event{{Type: event.Counter, PID: 5, Exe: "/usr/bin/git", N: map[string]float64{"mb": 900}}}}, {Events: []event.Event{{Type: event.Counter, PID: 5, Exe: "/usr/bin/rg", N: map[string]float64{"mb": 900}}}}},
}

func exemptReader(v track.View) bool {
	if v.Proc().Role != "" {
		return true
	}
	switch v.Proc().Class {
	case program.Package, program.VCS, program.Compiler, program.Search, program.Database, program.Build, program.Runtime, program.Debugger:
		return true
	}
	return v.Under(program.Package, program.Build, program.Compiler)
}

var (
	authBad  = regexp.MustCompile(`(?i)failed password|invalid user|authentication failure|failed login|session opened for user root|maximum authentication attempts|pam_\w+\(.*\): .*fail`)
	authDeny = regexp.MustCompile(`(?i)NOT in sudoers|incorrect password attempt|FAILED su|command not allowed|a password is required|user NOT authorized|3 incorrect`)
)
