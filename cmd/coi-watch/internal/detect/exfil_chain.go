package detect

import (
	"net/netip"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/inet"
)

var exfilChain = Detector{
	ID: "exfil.chain", Level: coi.High, Wants: []event.Type{event.Connect, event.Net, event.Exit},
	Title: "credentials read, then data sent",
	Why:   "the tree that read credentials sends data to a host that has nothing to do with them",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Dir == "in" || ev.Type != event.Exit && !track.Outside(ev.Peer) || ev.Type != event.Connect && ev.N["out"] <= 0 || ev.Type == event.Exit {
			return nil
		}
		if a, err := netip.ParseAddr(ev.Peer); err == nil && inet.IsMetadata(a) {
			return nil // the question that cred.token tells of, not an answer carried away
		}
		host := ev.Name
		if host == "" {
			host = v.NameOf(ev.Peer)
		}
		if v.Allowed(host) && host != "" {
			return nil
		}
		p := v.Proc()
		if p.Class == program.SSH || p.Class == program.VCS || p.Class == program.Package || p.Class == program.Runtime || p.Role != "" || oneOf(p.Name, "aws", "gcloud", "az", "terraform", "vault", "op") {
			return nil
		}
		for _, m := range v.Recent("finding") {
			// A mere question to a metadata service brought nothing that could be sent.
			if m.Rule == "cred.token" && m.Host != "" && m.Level.Rank() < coi.High.Rank() {
				continue
			}
			if strings.HasPrefix(m.Rule, "cred.") && !oneOf(m.Rule, "cred.sniff", "cred.hunt") {
				return one(Finding{Level: coi.High, Title: "data sent after " + m.Rule, PID: ev.PID, Peer: ev.Peer, Port: ev.Port, Host: host, Path: m.Path})
			}
		}
		return nil
	},
	Fire: []Sample{{Level: coi.High, Events: []event.Event{
		{Type: event.Exec, PID: 5, PPID: 1, Exe: "/usr/bin/bash", Argv: []string{"bash", "x.sh"}},
		{Type: event.Exec, PID: 6, PPID: 5, Exe: "/usr/bin/curl", Argv: []string{"curl", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"}},
		{Type: event.Exec, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Argv: []string{"python3", "send.py"}},
		{Type: event.Connect, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Peer: "203.0.113.9", Port: 443, Dir: "out"},
	}}, {Level: coi.High, Events: []event.Event{
		{Type: event.Exec, PID: 5, PPID: 1, Exe: "/usr/bin/bash", Argv: []string{"bash", "x.sh"}},
		{Type: event.Exec, PID: 6, PPID: 5, Exe: "/usr/bin/cat", Argv: []string{"cat", "/home/code/.aws/credentials"}},
		{Type: event.Exec, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Argv: []string{"python3", "send.py"}},
		{Type: event.Connect, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Peer: "203.0.113.9", Port: 443, Dir: "out"},
	}}},
	Quiet: []Sample{{Events: []event.Event{
		{Type: event.Exec, PID: 5, PPID: 1, Exe: "/usr/bin/curl", Argv: []string{"curl", "http://169.254.169.254/latest/meta-data/"}},
		{Type: event.Connect, PID: 5, PPID: 1, Exe: "/usr/bin/curl", Peer: "169.254.169.254", Port: 80, Dir: "out"},
	}}, {Events: []event.Event{
		{Type: event.Exec, PID: 5, PPID: 1, Exe: "/usr/bin/bash", Argv: []string{"bash", "where.sh"}},
		{Type: event.Exec, PID: 6, PPID: 5, Exe: "/usr/bin/curl", Argv: []string{"curl", "http://169.254.169.254/latest/meta-data/"}},
		{Type: event.Exec, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Argv: []string{"python3", "tell.py"}},
		{Type: event.Connect, PID: 7, PPID: 5, Exe: "/usr/bin/python3", Peer: "203.0.113.9", Port: 443, Dir: "out"},
	}}, {Events: []event.Event{
		{Type: event.Exec, PID: 5, PPID: 1, Exe: "/usr/bin/ssh", Argv: []string{"ssh", "h"}},
		{Type: event.Open, PID: 5, Exe: "/usr/bin/ssh", Path: "/home/code/.ssh/id_rsa"},
		{Type: event.Connect, PID: 5, Exe: "/usr/bin/ssh", Peer: "203.0.113.9", Port: 22, Dir: "out"},
	}}},
}
