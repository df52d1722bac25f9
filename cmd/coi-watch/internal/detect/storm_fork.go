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
	Fire: append(lines(coi.High, ":(){ :|:& };:", "bomb() { bomb | bomb & }; bomb", "perl -e 'fork while fork'", "perl -e 'fork while 1'", "python3 -c 'import os\nwhile 1: os.fork()'", "echo 'b(){ b|b& };b' | bash", "ruby -e 'fork while fork'", "while true; do bash $0 & done"),
		Sample{Level: coi.High, Events: []event.Event{counter("pids", map[string]float64{"growth": 900})}}, Sample{Level: coi.High, Events: []event.Event{counter("loss", map[string]float64{"lost": 4000})}}),
	Quiet: append(lines("", "make -j64", "parallel gzip ::: a b", "for i in 1 2 3; do ./run $i & done; wait", "f() { echo x; }; f | cat", "npm-run-all --parallel a b", "retry() { \"$@\" || retry \"$@\"; }; retry ls", "while true; do sleep 1; done", "gcc -static fork.c -o fork", "stress-ng --cpu 4"),
		Sample{Events: []event.Event{counter("pids", map[string]float64{"growth": 120})}}),
}

var forkLoop = regexp.MustCompile(`\bfork\s+while\s+(?:1|true)\b|fork\s*\(?\)?\s*while\s*fork|while\s*(?:\(?\s*(?:1|true|True)\s*\)?)\s*[:{]?\s*(?:os\.)?fork|loop\s*\{\s*fork|for\s*\(;;\)\s*\{?\s*fork`)

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
		if strings.Contains(c.Text, "fork") && forkLoop.MatchString(c.Text) { // the word first: a text may be long
			return say(s, coi.High, "code that multiplies itself")
		}
	}
	if s.Background && (s.Prog == "0" || s.Class() == program.Shell && s.Arg("0", "$0")) && (s.Loop || len(v.Command().Simples) > 2) {
		return say(s, coi.High, "script that multiplies itself")
	}
	return nil
}

func hasWord(list, w string) bool { return w != "" && strings.Contains(" "+list+" ", " "+w+" ") }
