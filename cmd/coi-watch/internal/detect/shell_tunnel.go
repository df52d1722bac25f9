package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellTunnel = Detector{
	ID: "shell.tunnel", Level: coi.High, Wants: execs,
	Title:  "terminal published to others",
	Why:    "a service outside can open a terminal in this container",
	Detect: onCommands(tunnelShell),
	Fire: lines(coi.High,
		"code tunnel --name x", "nohup code-insiders tunnel --accept-server-license-terms &", "tmate -F", "upterm host", "sshx",
		"ttyd -p 8080 bash", "gotty -w bash", "gs-netcat -l -i", "/tmp/.x -p 7681 -W bash", "cp /usr/bin/tmate /tmp/a; /tmp/a -F",
		"tmate -v", "tmate -vv", "shellinaboxd -v", "ttyd -W bash -h", "gotty -w bash --help", "upterm host -- bash --help",
	),
	Quiet: lines("", "tmux new-session -s name", "ssh user@host", "code .", "code --install-extension x", "ttyd --version", "tmate -V", "tmate --help", "ttyd -v", "code tunnel --help", "upterm host -h", "screen"),
}

func tunnelShell(s *command.Simple, _ track.View) *Finding {
	b := base(s.Prog)
	switch {
	case asks(s):
	case len(s.Argv) > 2 && s.Argv[1] == "tunnel" && s.Arg("--name", "--accept-server-license-terms"),
		oneOf(b, "code", "code-insiders", "code-server", "codium", "cursor") && len(s.Argv) > 1 && oneOf(s.Argv[1], "tunnel", "serve-tunnel"),
		oneOf(s.Name, "tmate", "sshx", "teleconsole", "tunshell", "webtty", "gs-netcat", "ttyd", "gotty", "wetty", "shellinaboxd", "shellinabox") && !s.Arg("kill-session", "127.0.0.1", "localhost", "lo"),
		oneOf(s.Name, "xterm", "xnest", "Xnest") && hasAny(s.Line(), "-display ", ":1") && !hasAny(s.Line(), "-display :", "-display localhost", "-display unix"),
		s.Name == "upterm" && s.Arg("host"), s.Name == "warp" && s.Arg("open"):
		return say(s, coi.High, "terminal published by "+b)
	}
	return nil
}

// asks reports a command that wants to know about the program only. Further words
// may be a command of its own, and "-v" makes some talk more and go on.
func asks(s *command.Simple) bool {
	if len(s.Argv) < 2 {
		return false
	}
	if i := len(s.Argv) - 1; i == 2 && oneOf(s.Argv[1], "tunnel", "serve-tunnel", "host") || i == 1 {
		return oneOf(s.Argv[i], "--version", "--help", "-h", "-V", "version") || s.Argv[i] == "-v" && s.Is("ttyd", "gotty")
	}
	return false
}
