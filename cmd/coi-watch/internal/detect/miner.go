package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// pools are hosts of mining pools; any name below them counts.
var pools = strings.Fields(`minexmr.com nanopool.org supportxmr.com hashvault.pro minergate.com nicehash.com f2pool.com ethermine.org 2miners.com unmineable.com moneroocean.stream
xmrpool.eu c3pool.com c3pool.org herominers.com miningpoolhub.com antpool.com flypool.org poolin.com viabtc.com slushpool.com braiins.com zpool.ca prohashing.com xmr.pt monerohash.com
dwarfpool.com crypto-pool.fr xmrfast.com minexmr.to hiveon.net flexpool.io ravenminer.com woolypooly.com kryptex.network rplant.xyz zergpool.com mining-dutch.nl luckypool.io p2pool.io gntl.uk solopool.org xmr.nicehash.com pool.gntl.co.uk kano.is ckpool.org auroramine.com moneroworld.com skypool.org ntpool.org bohemianpool.com`)

// miners are names of mining programs, without version.
var miners = strings.Fields(`xmrig xmrig-notls xmrig-cuda xmr-stak xmr-stak-rx cpuminer cpuminer-multi cpuminer-opt minerd ccminer cgminer bfgminer sgminer ethminer nbminer t-rex lolminer
phoenixminer gminer teamredminer nanominer srbminer srbminer-multi wildrig wildrig-multi claymore kinsing kdevtmpfsi cryptonight xmrminer minergate minergate-cli ewbf zm bminer rigel onezerominer cnrig jce_cn_cpu_miner
xmr-node-proxy xmrig-proxy nheqminer astrominer hellminer moneroocean randomx-miner verusminer cpuminer-sse2 xmrigdaemon xmrigminer trex`)

var minerProto = Detector{
	ID: "miner.proto", Level: coi.High, Wants: []event.Type{event.Exec, event.Connect},
	Title:  "connection to a mining pool",
	Why:    "mining protocol, pool or options in use",
	Detect: either(minerWords, poolConnect),
	Fire: append(lines(coi.High,
		"./a -o stratum+tcp://pool.example.com:3333 -u w -p x", "/tmp/.x/m --url=stratum+ssl://p.example.com:443", "nohup ./q -o xmr.nanopool.org:14444 -u w &",
		"./k -a rx/0 -o 203.0.113.9:80 -u w --donate-level=1", "./m --algo randomx --url p.example.com:1 --user w", "cp xmrig sysd; ./sysd -o stratum2+tcp://x.example.com:1 -u u",
		"echo Li9hIC1vIHN0cmF0dW0rdGNwOi8vcC5leGFtcGxlLmNvbToxIC11IHc= | base64 -d | sh",
	), Sample{Level: coi.High, Events: []event.Event{{Type: event.Connect, PID: 4, Peer: "203.0.113.9", Port: 3333, Name: "xmr.nanopool.org", Dir: "out"}}}),
	Quiet: lines("", "rg 'stratum+tcp' src/", "git clone https://example.com/xmrig", "echo stratum+tcp://x", "cargo build -p stratum", "curl -o a https://example.com/a", "openssl enc -a -in x -out y"),
}

func minerWords(s *command.Simple, _ track.View) *Finding {
	if textual(s) || s.Class() == program.Shell || s.Class() == program.Reader || s.Class() == program.VCS || s.Class() == program.Package || s.Class() == program.Build || s.Class() == program.Compiler {
		return nil
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
			if hostIn(h, pools) && (strings.Contains(a, ":") || s.Class() == program.None) && s.Class() != program.Downloader {
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

var minerName = Detector{
	ID: "miner.name", Level: coi.High, Wants: execs,
	Title:  "known mining program",
	Why:    "a program of a known mining family is run",
	Detect: onCommands(minerRun),
	Fire:   lines(coi.High, "./xmrig --config=c.json", "nohup /opt/cpuminer/minerd &", "sudo ~/xmrig/build/xmrig", "docker run -d metal3d/xmrig", "/tmp/kdevtmpfsi", "lolMiner --algo X"),
	Quiet:  lines("", "git clone https://example.com/xmrig.git", "cd xmrig && cmake .. && make", "ls xmrig", "rm -rf /tmp/kdevtmpfsi", "pkill xmrig", "apt-cache show cpuminer", "tar xf xmrig-6.tar.gz"),
}

func minerRun(s *command.Simple, _ track.View) *Finding {
	if minerFamily(s.Prog) {
		return say(s, coi.High, "mining program "+base(s.Prog))
	}
	if s.Name == "docker" && s.Arg("run", "create") {
		for _, a := range s.Argv[2:] {
			img, _, _ := strings.Cut(base(a), ":")
			if minerFamily(img) && !strings.HasPrefix(a, "-") {
				return say(s, coi.High, "container of a mining program")
			}
		}
	}
	return nil
}

func minerFamily(name string) bool {
	b := strings.TrimRight(strings.ToLower(base(name)), "0123456789.-_v")
	return b != "" && oneOf(b, miners...)
}

var minerCPU = Detector{
	ID: "miner.cpu", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "processor busy for long beside one thin connection",
	Why:   "all processors are used for minutes by one tree that also keeps a connection open",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Op != "cpu" || ev.N["share"] < 0.85 || ev.N["seconds"] < 600 || ev.N["flow"] < 1 {
			return nil
		}
		if v.Under(program.Compiler, program.Build, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "processors busy for ten minutes with one thin connection", PID: ev.PID})
	},
	Fire:  []Sample{{Level: coi.Warning, Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, Exe: "/tmp/a", N: map[string]float64{"share": 0.97, "seconds": 700, "flow": 1}}}}},
	Quiet: []Sample{{Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, Exe: "/usr/bin/cargo", N: map[string]float64{"share": 0.99, "seconds": 900, "flow": 1}}}}, {Events: []event.Event{{Type: event.Counter, Op: "cpu", PID: 4, N: map[string]float64{"share": 0.99, "seconds": 60, "flow": 1}}}}},
}
