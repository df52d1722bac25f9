package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var exfilTunnel = Detector{
	ID: "exfil.tunnel", Level: coi.High, Wants: execs,
	Title:  "tunnel to outside",
	Why:    "a tunnel lets others in past the firewall",
	Detect: onCommands(tunnelOut),
	Fire: append(lines(coi.Warning, "ssh -R 8080:localhost:80 u@example.com", "ssh -fN -D 1080 u@example.com", "cloudflared tunnel --url localhost:8080", "ngrok http 80", "chisel client example.com:1 R:socks", "frpc -c f.ini", "bore local 80 --to bore.pub", "lt --port 80", "autossh -M 0 -R 2222:localhost:3000 h", "iodine -f t.example.com", "cp /usr/bin/ssh /tmp/s; /tmp/s -R 1:localhost:1 h", "dnscat2 t.example.com", "tailscale funnel 80", "curl --socks5-hostname 127.0.0.1:9050 http://abcdefghijklmnop.onion/", "socat TCP-LISTEN:2375,bind=127.0.0.1,fork UNIX-CONNECT:/var/run/docker.sock"),
		lines(coi.High, "ssh -R 2222:localhost:22 u@example.com", "ngrok tcp 22", "socat TCP-LISTEN:2375,fork UNIX-CONNECT:/var/run/docker.sock", "cd / && python3 -m http.server 80", "python3 -m http.server --directory / 8000", "cloudflared tunnel --url ssh://localhost:22", "php -S 0.0.0.0:80 -t /", "busybox httpd -f -p 80 -h /")...),
	Quiet: lines("", "ssh -L 8080:localhost:80 h", "ssh username@remote_host -L 9999:example.org:80 -N -T", "python3 -m http.server 8001", "ssh -D 1080 username@host", "cloudflared --version", "ngrok config add-authtoken x", "socat TCP-LISTEN:80,fork TCP:b:80", "kubectl port-forward svc/x 80", "npx sirv-cli _site --port 9001", "php -S localhost:8000", "apt install chisel"),
}

// tunnelers are programs that do nothing but tunnel.
var tunnelers = strings.Fields("chisel frpc bore lt localtunnel inlets rathole gost iodine dnscat dnscat2 dns2tcp dns2tcpc ptunnel hans ligolo ligolo-ng ligolo-agent agent-ligolo revsocks rpivot resocks gsocket pagekite zrok playit expose localxpose loclx sshuttle-server wstunnel nps npc earthworm ew pivotnacci neo-regeorg stowaway pystinger")

func tunnelOut(s *command.Simple, _ track.View) *Finding {
	p := s.Parsed()
	if s.Arg("--version", "--help", "version", "help") {
		return nil
	}
	l := s.Line()
	deep := hasAny(l, ":22 ", "tcp 22", "ssh://", "docker.sock", ":3389", ":5900") || strings.HasSuffix(l, ":22")
	level := coi.Warning
	if deep {
		level = coi.High
	}
	switch s.Name {
	case "ssh", "autossh":
		if len(p.Values("R")) > 0 || hasAny(l, "RemoteForward") {
			return say(s, level, "reverse tunnel").to(outHost(s))
		}
		if len(p.Values("D")) > 0 && p.Has("f", "N") || p.Has("w") {
			return say(s, coi.Warning, "proxy tunnel").to(outHost(s))
		}
	case "cloudflared":
		if s.Arg("tunnel", "access") && !s.Arg("login", "list", "create", "delete", "route", "info") {
			return say(s, level, "tunnel by cloudflared")
		}
	case "ngrok":
		if s.Arg("http", "tcp", "tls", "start") {
			return say(s, level, "tunnel by ngrok")
		}
	case "tailscale":
		if s.Arg("funnel") {
			return say(s, coi.Warning, "published by tailscale")
		}
	case "socat":
		if hasAny(strings.ToLower(l), "listen") && hasAny(l, "docker.sock", "containerd.sock") {
			if hasAny(l, "bind=127.", "bind=localhost", "bind=[::1]") {
				return say(s, coi.Warning, "runtime socket published to this container")
			}
			return say(s, coi.High, "runtime socket published")
		}
	}
	if s.Name == "tor" && s.Prog == base(s.Prog) && (len(s.Argv) == 1 || s.Arg("-f", "--runasdaemon", "--SocksPort")) {
		return say(s, coi.Warning, "connection to an anonymity network")
	}
	for _, h := range s.Hosts() {
		if strings.HasSuffix(strings.ToLower(h), ".onion") {
			return say(s, coi.Warning, "host of an anonymity network").to(h)
		}
	}
	if oneOf(s.Name, tunnelers...) && len(s.Argv) > 1 {
		if oneOf(s.Name, "dnscat", "dnscat2", "revsocks", "rpivot", "pystinger") { // nothing but a way in
			level = coi.High
		}
		return say(s, level, "tunnel by "+s.Name)
	}
	return published(s, p)
}

// published finds file servers over / or a home.
func published(s *command.Simple, p program.Parsed) *Finding {
	dir := ""
	switch {
	case s.Name == "python" && hasAny(s.Line(), "-m http.server", "-m SimpleHTTPServer", "-m pyftpdlib", "-m uploadserver"):
		dir = s.CWD
		for i, a := range s.Argv {
			if (a == "-d" || a == "--directory") && i+1 < len(s.Argv) {
				dir = s.Abs(s.Argv[i+1])
			} else if v, ok := strings.CutPrefix(a, "--directory="); ok {
				dir = s.Abs(v)
			}
		}
	case s.Name == "php" && p.Has("S") && !hasAny(s.Line(), "localhost", "127.0.0.1"):
		dir = s.CWD
		if t := p.Values("t", "docroot"); len(t) > 0 {
			dir = s.Abs(t[0])
		}
	case s.Name == "httpd" || s.Name == "ruby" && s.Arg("-run"):
		for i, a := range s.Argv {
			if a == "-h" && i+1 < len(s.Argv) {
				dir = s.Abs(s.Argv[i+1])
			}
		}
	default:
		return nil
	}
	if dir != "" && (paths.HomeOrRoot(dir) || len(paths.Of(dir, true)) > 0) {
		return say(s, coi.High, "files of "+dir+" published")
	}
	return nil
}

// agentNames are user-agents of known implants, lower case, by prefix or whole.
var agentNames = []string{
	"httpbrowser/1.0", "wget/1.9+cvs", "opera/8.81 (windows nt 6.0", "*<|>*", "rookie/1.0", "m\\zilla/", "mozzila/", "mozi1la/", "hots scot", "sjzj (compatible", "user-agent", "iexplorer", "ufasoft", "emailsearcher", "mr.black", "microsoft internet explorer", "nsis_inetc (mozilla)",
	"mozilla/2.0 (compatible; msie 3.0b", "mozilla/3.0 (compatible; msie 2", "mozilla/1.22 (compatible; msie 2.0d", "mozilla/5.0 (windows nt 6.1) applewebkit/534.3 (khtml, like gecko) chrome/6.0.472.63", "mozilla/4.0 (compatible; msi 6.0", "mozilla/4.0 (compatible; metasploit", "mozilla/4.0 (compatible; msie 6.0; windows nt 5.1; sv1; .net4.0c", "cobalt strike", "cobaltstrike", "meterpreter", "empire/", "sliver", "havoc", "brute ratel", "pupy", "koadic", "zeus", "dridex", "trickloader", "emotet", "agent tesla", "lokibot", "mozilla/4.08 (charon; inferno)", "backdoorbot", "havij", "sqlmap/", "zmeu", "w3af", "botnet", "asyncrat", "gh0st",
}
