package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var minerProto = Detector{
	ID: "miner.proto", Level: coi.High, Wants: []event.Type{event.Exec, event.Connect},
	Title:  "connection to a mining pool",
	Why:    "mining protocol, pool or options in use",
	Detect: either(minerWords, poolConnect),
	Fire: append(lines(coi.High,
		"./a -o stratum+tcp://pool.example.com:3333 -u w -p x", "/tmp/.x/m --url=stratum+ssl://p.example.com:443", "/tmp/.q -o xmr.nanopool.org:443 -u w", "nohup ./q -o xmr.nanopool.org:14444 -u w &",
		"python3 -c \"import socket,json;s=socket.create_connection(('p.example.com',3333));s.send(json.dumps({'id':1,'method':'mining.subscribe','params':[]}).encode())\"",
		"./k -a rx/0 -o 203.0.113.9:80 -u w --donate-level=1", "./m --algo randomx --url p.example.com:1 --user w", "cp xmrig sysd; ./sysd -o stratum2+tcp://x.example.com:1 -u u",
		"echo Li9hIC1vIHN0cmF0dW0rdGNwOi8vcC5leGFtcGxlLmNvbToxIC11IHc= | base64 -d | sh",
	), Sample{Level: coi.High, Events: []event.Event{{Type: event.Connect, PID: 4, Peer: "203.0.113.9", Port: 3333, Name: "xmr.nanopool.org", Dir: "out"}}}),
	Quiet: lines("", "rg 'stratum+tcp' src/", "git clone https://example.com/xmrig", "echo stratum+tcp://x", "cargo build -p stratum", "curl -o a https://example.com/a", "openssl enc -a -in x -out y"),
}

func minerWords(s *command.Simple, _ track.View) *Finding {
	if textual(s) || s.Class() == program.Shell || s.Class() == program.Reader || s.Class() == program.VCS || s.Class() == program.Package || s.Class() == program.Build || s.Class() == program.Compiler {
		return nil
	}
	for _, c := range s.Code {
		if hasAny(c.Text, "mining.subscribe", "mining.authorize") && !scripted(s) && traits(c).net {
			return say(s, coi.High, "mining protocol spoken by code").to(codeHost(c))
		}
		if h := codeHost(c); h != "" && hostIn(h, pools) && traits(c).net && !scripted(s) {
			return say(s, coi.High, "mining pool called by code").to(h)
		}
	}
	algo, target := false, false
	for i, a := range s.Argv[min(1, len(s.Argv)):] {
		l := strings.ToLower(a)
		if hasAny(l, "stratum+", "stratum://", "stratum2+", "daemon+http://", "ethproxy+") && len(l) < 400 && !strings.Contains(l, "\n") {
			return say(s, coi.High, "mining protocol address").to(command.HostOf(a))
		}
		if i+1 < len(s.Argv) {
			h := command.HostOf(a)
			if h == "" {
				h, _, _ = strings.Cut(a, ":")
			}
			if hostIn(h, pools) && (strings.Contains(a, ":") || s.Class() == program.None) && (s.Class() != program.Downloader || s.Renamed && !strings.Contains(a, "://")) {
				return say(s, coi.High, "mining pool address").to(h)
			}
		}
		algo = algo || hasAny(l, "--donate-level", "randomx", "cryptonight", "rx/0", "rx/wow", "kawpow", "ethash", "etchash", "--coin=monero", "--coin monero", "yescrypt", "ghostrider", "argon2/chukwa", "autolykos", "equihash", "verushash", "--nicehash", "--cpu-max-threads-hint", "--randomx")
		target = target || oneOf(a, "-o", "--url", "--pool", "-u", "--user", "--server", "-P") || hasPrefixAny(a, "--url=", "--user=", "--pool=", "--server=", "-o=")
	}
	if algo && target && s.Class() == program.None {
		return say(s, coi.High, "options of a miner").to(outHost(s))
	}
	return nil
}

func poolConnect(ev event.Event, v track.View) []Finding {
	if ev.Type != event.Connect {
		return nil
	}
	name := ev.Name
	if name == "" {
		name = v.NameOf(ev.Peer)
	}
	if name == "" || !hostIn(name, pools) {
		return nil
	}
	return one(Finding{Level: coi.High, Title: "connection to mining pool " + name, Peer: ev.Peer, Port: ev.Port, Host: name, PID: ev.PID})
}
