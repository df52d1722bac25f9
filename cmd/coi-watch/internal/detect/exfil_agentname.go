package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var exfilAgentName = Detector{
	ID: "exfil.agent-name", Level: coi.High, Wants: execs,
	Title:  "user-agent of a known implant",
	Why:    "no browser and no tool calls itself that",
	Detect: onCommands(agentName),
	Fire:   lines(coi.High, "curl -s -A 'HttpBrowser/1.0' -m3 www.example.com", "curl --user-agent 'Wget/1.9+cvs-stable (Red Hat modified)' example.com", "curl -s -A \"*<|>*\" -m3 example.com", "wget -U 'Opera/8.81 (Windows NT 6.0; U; en)' example.com", "curl -H 'User-Agent: HttpBrowser/1.0' example.com", "cp /usr/bin/curl /tmp/c; /tmp/c -A HttpBrowser/1.0 example.com"),
	Quiet:  lines("", "curl -A 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36' https://example.com", "curl -A 'my-app/1.0' https://example.com", "wget -U 'Wget/1.21.3' https://example.com", "curl https://example.com"),
}

func agentName(s *command.Simple, _ track.View) *Finding {
	if s.Class() != program.Downloader {
		return nil
	}
	p := s.Parsed()
	names := p.Values("A", "user-agent", "U")
	if s.Name == "curl" {
		names = p.Values("A", "user-agent")
	}
	for _, h := range p.Values("H", "header") {
		if k, v, ok := strings.Cut(h, ":"); ok && strings.EqualFold(strings.TrimSpace(k), "user-agent") {
			names = append(names, strings.TrimSpace(v))
		}
	}
	for _, n := range names {
		if l := strings.ToLower(n); hasPrefixAny(l, agentNames...) || hasAny(l, " httpbrowser/") {
			return say(s, coi.High, "user-agent of a known implant").to(outHost(s))
		}
	}
	return nil
}
