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

var logHistory = Detector{
	ID: "log.history", Level: coi.High, Wants: files,
	Title: "shell history destroyed or switched off", Why: "who hides what was typed has a reason",
	Detect: either(historyGone, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Delete && !(ev.Type == event.Write && (ev.Op == "truncate" || ev.N["shrunk"] > 0)) || !paths.Any(v.PathClasses(ev.Path), paths.History) || v.Proc().Class == program.Shell && ev.Type != event.Delete || v.Proc().Role != "" || inWorkspace(v, ev.Path) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "shell history destroyed", Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}),
	Fire: append(lines(coi.High, "ln -sf /dev/null ~/.bash_history", "history -c", "f() { \"$@\"; }; f history -c", "history() { :; }; builtin history -c", "history -cw", "c=(history); c+=(-c); \"${c[@]}\"", "set +o history", "unset HISTFILE", "export HISTFILE=/dev/null", "HISTSIZE=0", "export HISTFILESIZE=0", "rm -f ~/.bash_history", "cat /dev/null > ~/.bash_history", "echo '' > $HISTFILE", "shred -u ~/.zsh_history", "truncate -s0 ~/.bash_history", "echo 'set +o history' >> ~/.bashrc", "echo 'unset HISTFILE' | tee -a ~/.profile", "> ~/.bash_history", "shopt -uo history", "shopt -ou history", "export HISTIGNORE='*'", "cp /dev/null ~/.bash_history", "chattr +i ~/.bash_history", "sudo rm /root/.bash_history", "for h in ~/.*_history; do rm -f $h; done", "bash +o history", "export HISTCONTROL=ignorespace; history -c", "unset HISTFILE HISTSAVE HISTLOG", "rm ~/.*history", "find / -name .bash_history -delete", "unlink ~/.bash_history", "python3 -c \"open('/root/.bash_history','w')\"", "cp /bin/rm /tmp/r; /tmp/r ~/.bash_history",
		"set +o history; id; false && set -o history", "set +o history; if false; then set -o history; fi", "set +o history; f() { set -o history; }", "set +o history; id || set -o history", "set +o history; (set -o history)", "set +o history; set -o history | cat", "set +o history; bash -c 'set -o history'", "set +o history; id; exit; set -o history", "set +o history; echo $(set -o history)", "set +o history; for x in $Y; do set -o history; done", "set +o history; case $X in a) set -o history ;; esac"), append(lines(coi.Warning, "set +o history; export T=1; set -o history"), events(event.Event{Type: event.Delete, PID: 3, Exe: "/usr/bin/rm", Path: "/home/code/.bash_history"})...)...),
	Quiet: lines("", "ln -sf /dev/null ~/.lesshst", "rm -f ~/.viminfo", "history -w", "history -s command", "history", "cat ~/.bash_history", "export HISTSIZE=10000", "set -o history", "git log --oneline", "cp history.json x", "export HISTFILE=~/.cache/hist", "tail ~/.bash_history"),
}

// histVar reports values of history variables that switch it off.
func histVar(name, val string) bool {
	val = strings.Trim(val, `"'`)
	switch name {
	case "HISTFILE":
		return val == "" || val == "/dev/null" || val == "/dev/zero"
	case "HISTSIZE", "HISTFILESIZE", "SAVEHIST":
		return val == "0"
	case "HISTIGNORE":
		return val == "*"
	}
	return false
}

var histText = regexp.MustCompile(`(?m)(?:^|[;&\s"'])(?:set \+o history|unset HISTFILE|history -c|(?:export )?HISTFILE=(?:/dev/null|["']{0,2}(?:$|[\s;]))|(?:export )?HIST(?:FILE)?SIZE=0\b|shopt -uo history)`)

// otherHistory are files of programs that are no shells.
var otherHistory = []string{".lesshst", ".viminfo", ".python_history", ".wget-hsts", ".node_repl_history", ".sqlite_history", ".rediscli_history"}

// backOn reports that the same text switches the history on again, by a command
// that runs whenever s does: beside it, with nothing in between that ends the shell.
func backOn(s *command.Simple, v track.View) bool {
	after := false
	for _, o := range v.Command().Simples {
		switch {
		case o == s:
			after = true
		case !after:
		case o.Is("exit", "return", "exec", "break", "continue", "logout", "kill"):
			return false
		case o.Name == "set" && len(o.Argv) == 3 && o.Argv[1] == "-o" && o.Argv[2] == "history" && o.Scope == s.Scope && o.Parent == s.Parent && o.Owner == s.Owner:
			return true
		}
	}
	return false
}

func historyGone(s *command.Simple, v track.View) *Finding {
	if oneOf(s.Name, "export", "") && s.Func == "" {
		for _, a := range append(s.Argv, assigned(s)...) {
			if hasPrefixAny(a, "HISTCONTROL=ignore", "HISTIGNORE=") && a != "HISTIGNORE=*" && a != "HISTCONTROL=ignoredups" && a != "HISTCONTROL=erasedups" {
				return say(s, coi.Warning, "shell history told to leave commands out")
			}
		}
	}
	for _, a := range s.Env {
		if histVar(a.Name, a.Value) {
			return say(s, coi.High, "shell history switched off")
		}
	}
	switch s.Name {
	case "history", "fc":
		if f := flags(s); strings.Contains(f, "c") && s.Name == "history" || s.Name == "fc" && strings.ContainsAny(f, "pP") {
			return say(s, coi.High, "shell history cleared")
		}
	case "set", "shopt", "bash", "setopt", "unsetopt":
		for i, a := range s.Argv[1:] {
			if oneOf(a, "+o", "-uo", "-ou") && i+2 < len(s.Argv) && s.Argv[i+2] == "history" {
				if backOn(s, v) {
					return say(s, coi.Warning, "shell history switched off for some commands")
				}
				return say(s, coi.High, "shell history switched off")
			}
		}
	case "ssh":
		if s.Parent != nil && s.Parent.Name == "sshpass" && loopbackOnly(s) && s.Parsed().Has("T") {
			return say(s, coi.Warning, "login to this machine without a terminal, which leaves no history")
		}
	case "unset":
		if s.Arg("HISTFILE", "HISTSIZE") {
			return say(s, coi.High, "shell history switched off")
		}
	case "export", "declare", "typeset", "readonly", "local":
		for _, a := range s.Argv[1:] {
			if n, val, ok := strings.Cut(a, "="); ok && histVar(n, val) {
				return say(s, coi.High, "shell history switched off")
			}
		}
	}
	for _, a := range s.Accesses() {
		c := classes(v, a)
		switch {
		case oneOf(base(a.Path), otherHistory...):
		case paths.Any(c, paths.History) && a.Op == command.Delete && s.Nested && cleanup(s, v):
			return say(s, coi.Warning, "shell history of an image removed").at(a.Path, a.Op)
		case paths.Any(c, paths.History) && (a.Op == command.Delete && !a.Tree || a.Op == command.Delete && base(a.Path) != "*" || a.Op == command.Write && s.Class() != program.Shell || a.Op == command.Link || a.Op == command.Append && s.Is("sed", "perl", "awk", "ed", "ruby") || a.Op == command.Attrib && s.Name == "chattr" && s.Arg("+i")):
			return say(s, coi.High, "shell history destroyed").at(a.Path, a.Op)
		case paths.Any(c, paths.RC) && changes(a.Op) && histText.MatchString(a.Text):
			return say(s, coi.High, "shell history switched off for good").at(a.Path, a.Op)
		}
	}
	if s.Name == "find" && s.Arg("-delete") && hasAny(s.Line(), "_history") {
		return say(s, coi.High, "shell history destroyed")
	}
	return nil
}

// assigned are the assignments of a command as words.
func assigned(s *command.Simple) []string {
	var out []string
	for _, a := range s.Env {
		out = append(out, a.Name+"="+a.Value)
	}
	return out
}

// flags are the letters of all short options.
func flags(s *command.Simple) string {
	var out strings.Builder
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") {
			out.WriteString(a[1:])
		}
	}
	return out.String()
}

// watchers are services that record or guard; fences are firewalls.
var (
	watchers = strings.Fields("audit auditd rsyslog rsyslogd syslog syslogd syslog-ng systemd-journald systemd-journald.socket systemd-journald-dev-log.socket journald klogd falco falco-modern-bpf falcoctl osqueryd osquery wazuh-agent ossec sysmon falcon-sensor mdatp auditbeat filebeat packetbeat clamav-daemon clamav-freshclam clamd apparmor selinux fail2ban snort suricata aide tripwire crowdsec cbagentd cbdaemon sentinelone xagt ds_agent elastic-agent rkhunter chkrootkit samhain ossec-hids tetragon-watch newsyslog syslog.socket auditd.service esets savd nessusd tanium taniumclient insights-client acct psacct kesl kesl-supervisor aliyun aegis cloudmonitor bcm-agent qcloud yunjing aliyun-service")
	fences   = strings.Fields("ufw firewalld iptables ip6tables nftables netfilter-persistent pf ipfw")
)
