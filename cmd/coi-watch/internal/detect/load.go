package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

func counter(op string, n map[string]float64) event.Event {
	return event.Event{Type: event.Counter, Op: op, N: n}
}

var stormFork = Detector{
	ID: "storm.fork", Level: coi.High, Wants: []event.Type{event.Exec, event.Counter},
	Title: "fork storm", Why: "processes that only multiply stop the machine",
	// n.growth: net growth within one poll; n.forks: forks per second over two
	// seconds with growth; n.lost: events lost in ten seconds.
	Detect: either(bomb, func(ev event.Event, v track.View) []Finding {
		limit := v.Settings().SpawnRate
		if limit == 0 {
			limit = 300
		}
		if limit < 0 || ev.Type != event.Counter || ev.N["growth"] <= float64(limit) && !(ev.N["forks"] > 5000 && ev.N["growth"] > 0) && ev.N["lost"] <= 1000 {
			return nil
		}
		if ev.N["lost"] <= 1000 && ev.N["growth"] <= float64(limit)*10 && v.Under(program.Build, program.Compiler, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "fork storm"})
	}),
	Fire: append(lines(coi.High, ":(){ :|:& };:", "bomb() { bomb | bomb & }; bomb", "perl -e 'fork while fork'", "python3 -c 'import os\nwhile 1: os.fork()'", "echo 'b(){ b|b& };b' | bash", "ruby -e 'fork while fork'", "while true; do bash $0 & done"),
		Sample{Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"growth": 900})}}, Sample{Level: coi.High, Events: []event.Event{counter("loss", map[string]float64{"lost": 4000})}}),
	Quiet: append(lines("", "make -j64", "parallel gzip ::: a b", "for i in 1 2 3; do ./run $i & done; wait", "f() { echo x; }; f | cat", "npm-run-all --parallel a b", "retry() { \"$@\" || retry \"$@\"; }; retry ls", "while true; do sleep 1; done", "gcc -static fork.c -o fork", "stress-ng --cpu 4"),
		Sample{Events: []event.Event{counter("pids", map[string]float64{"growth": 120})}}),
}

var forkLoop = regexp.MustCompile(`fork\s*\(?\)?\s*while\s*fork|while\s*(?:\(?\s*(?:1|true|True)\s*\)?)\s*[:{]?\s*(?:os\.)?fork|loop\s*\{\s*fork|for\s*\(;;\)\s*\{?\s*fork`)

func bomb(s *command.Simple, v track.View) *Finding {
	again := 0
	if s.Func != "" {
		for _, o := range v.Command().Simples {
			if o.Func != "" && hasWord(o.Func, o.Prog) && o.Prog == s.Prog && o.Background {
				again++
			}
		}
	}
	if again >= 2 {
		return say(s, coi.High, "function that multiplies itself")
	}
	for _, c := range s.Code {
		if forkLoop.MatchString(c.Text) {
			return say(s, coi.High, "code that multiplies itself")
		}
	}
	if s.Background && (s.Prog == "0" || s.Class() == program.Shell && s.Arg("0", "$0")) && (s.Loop || len(v.Command().Simples) > 2) {
		return say(s, coi.High, "script that multiplies itself")
	}
	return nil
}

func hasWord(list, w string) bool { return w != "" && strings.Contains(" "+list+" ", " "+w+" ") }

var stormPids = Detector{
	ID: "storm.pids", Level: coi.High, Wants: []event.Type{event.Counter},
	Title: "very many processes", Why: "the count of processes nears its limit",
	Detect: func(ev event.Event, v track.View) []Finding {
		limit := v.Settings().ProcessCount
		if limit == 0 {
			limit = 1000
		}
		if limit > 0 && ev.N["pids"] > float64(limit) || ev.N["limit"] > 0 && ev.N["pids"] > 0.9*ev.N["limit"] {
			return one(Finding{Level: coi.High, Title: "very many processes"})
		}
		return nil
	},
	Fire:  []Sample{{Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"pids": 1200})}}, {Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"pids": 95, "limit": 100})}}},
	Quiet: []Sample{{Events: []event.Event{counter("pids", map[string]float64{"pids": 300, "limit": 4096})}}},
}

var stormTmp = Detector{
	ID: "storm.tmp", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "/tmp nearly full", Why: "a full /tmp breaks the tools of the session",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if ev.N["tmp"] > 0.8 {
			return one(Finding{Level: coi.Warning, Title: "/tmp is more than 80 % full", Path: "/tmp"})
		}
		return nil
	},
	Fire:  []Sample{{Level: coi.Warning, Events: []event.Event{counter("tmp", map[string]float64{"tmp": 0.91})}}},
	Quiet: []Sample{{Events: []event.Event{counter("tmp", map[string]float64{"tmp": 0.4})}}},
}

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

var authFail = Detector{
	ID: "auth.fail", Level: coi.Warning, Wants: []event.Type{event.Authlog},
	Title: "failed login", Why: "somebody tried to log in, or a root session began",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !authBad.MatchString(ev.Text) || authDeny.MatchString(ev.Text) || strings.Contains(ev.Text, "sudo:session") || strings.Contains(ev.Text, "(cron:session") || strings.Contains(ev.Text, "sudo:auth") {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "failed login", Evidence: map[string]string{"text": ev.Text}})
	},
	Fire:  events(event.Event{Type: event.Authlog, Text: "sshd[812]: Failed password for invalid user admin from 203.0.113.9"}, event.Event{Type: event.Authlog, Text: "su: pam_unix(su:session): session opened for user root by (uid=1000)"}),
	Quiet: events(event.Event{Type: event.Authlog, Text: "sshd[1]: Accepted publickey for code"}, event.Event{Type: event.Authlog, Text: "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by (uid=1000)"}),
}

var authDenied = Detector{
	ID: "auth.deny", Level: coi.Warning, Wants: []event.Type{event.Authlog},
	Title: "sudo or su refused again and again", Why: "guessing passwords looks like this",
	// The sensor counts refusals: n.count within 60 s.
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !authDeny.MatchString(ev.Text) || ev.N["count"] < 5 {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "sudo or su refused again and again", Evidence: map[string]string{"text": ev.Text}})
	},
	Fire:  events(event.Event{Type: event.Authlog, Text: "sudo: code : 3 incorrect password attempts", N: map[string]float64{"count": 5}}),
	Quiet: events(event.Event{Type: event.Authlog, Text: "sudo: code : 1 incorrect password attempt", N: map[string]float64{"count": 1}}),
}
