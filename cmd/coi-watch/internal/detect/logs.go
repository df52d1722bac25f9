package detect

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var logWipe = Detector{
	ID: "log.wipe", Level: coi.High, Wants: files,
	Title: "logs destroyed", Why: "who removes the record of logins and commands hides something",
	Detect: either(wipe, func(ev event.Event, v track.View) []Finding {
		c := v.PathClasses(ev.Path)
		if !paths.Any(c, paths.SecurityLog) || ev.Type != event.Delete && ev.Type != event.Rename && !(ev.Type == event.Write && (ev.Op == "truncate" || ev.N["shrunk"] > 0)) {
			return nil
		}
		if v.Under(program.Init, program.Package) || oneOf(v.Proc().Name, "sshd", "login", "sudo", "su", "rsyslogd", "auditd", "syslogd", "logrotate") {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "log destroyed", Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "rm -rf /var/log/auth.log", "truncate -s 0 /var/log/syslog", "cat /dev/null > /var/log/messages", "echo '' > /var/log/secure", "unlink /var/log/wtmp", "sudo rm /var/log/journal/*", "echo 0> /var/spool/mail/root", "> /var/log/auth.log", ": > /var/log/lastlog", "shred -u /var/log/audit/audit.log", "dd if=/dev/zero of=/var/log/btmp bs=1 count=1", "ln -sf /dev/null /var/log/wtmp", "cp /dev/null /var/log/auth.log",
		"sed -i '/203.0.113.9/d' /var/log/auth.log", "find /var/log/journal -type f -delete", "python3 -c \"open('/var/log/auth.log','w')\"", "rm -rf /var/log/*", "mv /var/log/auth.log /tmp/", "journalctl --vacuum-time=1s", "journalctl --rotate --vacuum-size=1", "tee /var/log/secure < /dev/null", "cp /bin/rm /tmp/r; /tmp/r -f /var/log/auth.log", "for f in auth.log syslog; do rm -f /var/log/$f; done", "cd /var/log && rm -f auth.log", "busybox rm /var/log/messages", "perl -e 'unlink \"/var/log/auth.log\"'", "rm /var/log/aut*", "wevtutil; rm -f /var/log/audit/*", "find /var/log -name 'auth.log*' -exec rm {} \\;"),
		lines(coi.Warning, "rm /var/log/nginx/access.log", "truncate -s0 /var/log/app.log")...), events(event.Event{Type: event.Delete, PID: 3, Exe: "/usr/bin/rm", Path: "/var/log/auth.log"})...),
	Quiet: append(lines("", "rm -f ./app.log", "cat /var/log/auth.log", "tail -f /var/log/syslog", "logrotate -f /etc/logrotate.conf", "rm -rf /var/log/apt/* /var/log/dpkg.log", "journalctl -u ssh", "journalctl --vacuum-time=2d", "rm -rf /var/lib/apt/lists/*", "apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/dpkg.log", "echo x >> /var/log/app.log", "sudo dmesg", "grep x /var/log/messages", "journalctl --lines n --follow"),
		events(event.Event{Type: event.Rename, PID: 3, Exe: "/usr/sbin/logrotate", Path: "/var/log/syslog", Path2: "/var/log/syslog.1"})...),
}

func wipe(s *command.Simple, v track.View) *Finding {
	if s.Name == "logrotate" || packaged(s, v) || s.Name == "mkdir" || s.Name == "ssh-keygen" {
		return nil
	}
	if s.Name == "journalctl" && vacuumed(s) {
		return say(s, coi.High, "journal emptied")
	}
	if s.Parent != nil && s.Parent.Name == "find" && oneOf(s.Name, "rm", "shred", "truncate", "unlink", "cp") {
		for _, a := range s.Parent.Accesses() {
			if f := wipedBy(s, v, command.Touch(a.Path, command.Delete, true)); f != nil && a.Op == command.Search {
				return f
			}
		}
	}
	var best *Finding
	for _, a := range s.Accesses() {
		if f := wipedBy(s, v, a); f != nil && (best == nil || f.Level.Rank() > best.Level.Rank()) {
			best = f
		}
	}
	return best
}

func wipedBy(s *command.Simple, v track.View, a command.Access) *Finding {
	gone := a.Op == command.Delete || a.Op == command.Write || a.Op == command.Link || a.Op == command.Append && (s.Name == "sed" || codeHas(s, "truncate"))
	if !gone {
		return nil
	}
	if a.Op == command.Write && a.Path2 != "" && a.Path2 != "/dev/null" && !s.Is("cp", "mv", "install") {
		return nil
	}
	c := classes(v, a)
	switch {
	case paths.Any(c, paths.SecurityLog):
		return say(s, coi.High, "log destroyed").at(a.Path, a.Op)
	case a.Path == "/var/log" && a.Op == command.Delete || a.Path == "/var/log/*" && a.Op == command.Delete:
		if cleanup(s, v) {
			return say(s, coi.Warning, "all logs removed").at(a.Path, a.Op)
		}
		return say(s, coi.High, "all logs destroyed").at(a.Path, a.Op)
	case strings.HasPrefix(a.Path, "/var/log/") && star(a.Path) && a.Op == command.Delete:
		return say(s, coi.High, "logs destroyed").at(a.Path, a.Op)
	case paths.Any(c, paths.OtherLog) && (a.Op == command.Delete || s.Is("truncate", "shred", "cp") || a.Op == command.Write && emptied(s, a)):
		return say(s, coi.Warning, "log of a program removed").at(a.Path, a.Op)
	}
	return nil
}

// star reports wildcards that take security logs with them.
func star(p string) bool {
	return oneOf(base(p), "*.log", "*log*", "*log", "*.gz", "*mp", "{auth.log,syslog}", "**") && strings.Count(p, "/") == 3 && base(p) != "*.gz"
}

// emptied reports writes that leave nothing.
func emptied(s *command.Simple, a command.Access) bool {
	return a.Known && strings.TrimSpace(a.Text) == "" || hasAny(s.Line(), "/dev/null", "/dev/zero") || s.Name == ":" || s.Name == "true" || s.Name == ""
}

// cleanup reports image builds, which drop logs and package lists together.
func cleanup(s *command.Simple, v track.View) bool {
	if hasAny(s.Line(), "/var/lib/apt", "/var/cache") {
		return true
	}
	for _, o := range v.Command().Simples {
		if oneOf(o.Name, "apt", "dnf", "yum", "apk", "zypper", "pacman", "docker", "cloud-init") {
			return true
		}
	}
	return false
}

var smallSize = regexp.MustCompile(`^([0-9.]+)\s*([A-Za-z]*)$`)

// vacuumed reports journalctl options that leave next to nothing.
func vacuumed(s *command.Simple) bool {
	for i, a := range s.Argv {
		k, v, ok := strings.Cut(a, "=")
		if !ok && i+1 < len(s.Argv) {
			v = s.Argv[i+1]
		}
		if k != "--vacuum-time" && k != "--vacuum-size" && k != "--vacuum-files" {
			continue
		}
		m := smallSize.FindStringSubmatch(v)
		if m == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err == nil && (n == 0 || k == "--vacuum-time" && oneOf(m[2], "s", "sec", "", "ms", "us") || k == "--vacuum-size" && (m[2] == "" || strings.EqualFold(m[2], "b") || strings.EqualFold(m[2], "k") && n <= 1024 || strings.EqualFold(m[2], "m") && n <= 1)) {
			return true
		}
	}
	return false
}

var logHistory = Detector{
	ID: "log.history", Level: coi.High, Wants: files,
	Title: "shell history destroyed or switched off", Why: "who hides what was typed has a reason",
	Detect: either(historyGone, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Delete && !(ev.Type == event.Write && (ev.Op == "truncate" || ev.N["shrunk"] > 0)) || !paths.Any(v.PathClasses(ev.Path), paths.History) || v.Proc().Class == program.Shell && ev.Type != event.Delete || v.Proc().Role != "" || inWorkspace(v, ev.Path) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "shell history destroyed", Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}),
	Fire:  append(lines(coi.High, "ln -sf /dev/null ~/.bash_history", "history -c", "history -cw", "set +o history", "unset HISTFILE", "export HISTFILE=/dev/null", "HISTSIZE=0", "export HISTFILESIZE=0", "rm -f ~/.bash_history", "cat /dev/null > ~/.bash_history", "echo '' > $HISTFILE", "shred -u ~/.zsh_history", "truncate -s0 ~/.bash_history", "echo 'set +o history' >> ~/.bashrc", "echo 'unset HISTFILE' | tee -a ~/.profile", "> ~/.bash_history", "shopt -uo history", "export HISTIGNORE='*'", "cp /dev/null ~/.bash_history", "chattr +i ~/.bash_history", "sudo rm /root/.bash_history", "for h in ~/.*_history; do rm -f $h; done", "bash +o history", "export HISTCONTROL=ignorespace; history -c", "unset HISTFILE HISTSAVE HISTLOG", "rm ~/.*history", "find / -name .bash_history -delete", "unlink ~/.bash_history", "python3 -c \"open('/root/.bash_history','w')\"", "cp /bin/rm /tmp/r; /tmp/r ~/.bash_history"), events(event.Event{Type: event.Delete, PID: 3, Exe: "/usr/bin/rm", Path: "/home/code/.bash_history"})...),
	Quiet: lines("", "history -w", "history -s command", "history", "cat ~/.bash_history", "export HISTSIZE=10000", "set -o history", "git log --oneline", "cp history.json x", "export HISTFILE=~/.cache/hist", "tail ~/.bash_history"),
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
			if (a == "+o" || a == "-uo") && i+2 < len(s.Argv) && s.Argv[i+2] == "history" {
				return say(s, coi.High, "shell history switched off")
			}
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
		case paths.Any(c, paths.History) && (a.Op == command.Delete && !a.Tree || a.Op == command.Delete && base(a.Path) != "*" || a.Op == command.Write && s.Class() != program.Shell || a.Op == command.Link || a.Op == command.Attrib && s.Name == "chattr" && s.Arg("+i")):
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
	out := ""
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") {
			out += a[1:]
		}
	}
	return out
}

// watchers are services that record or guard; fences are firewalls.
var (
	watchers = strings.Fields("auditd rsyslog rsyslogd syslog syslogd syslog-ng systemd-journald systemd-journald.socket systemd-journald-dev-log.socket journald klogd falco falco-modern-bpf falcoctl osqueryd osquery wazuh-agent ossec sysmon falcon-sensor mdatp auditbeat filebeat packetbeat clamav-daemon clamav-freshclam clamd apparmor selinux fail2ban snort suricata aide tripwire crowdsec cbagentd cbdaemon sentinelone xagt ds_agent elastic-agent rkhunter chkrootkit samhain ossec-hids tetragon-watch newsyslog syslog.socket auditd.service esets savd nessusd tanium taniumclient insights-client acct psacct kesl kesl-supervisor aliyun aegis cloudmonitor bcm-agent qcloud yunjing aliyun-service")
	fences   = strings.Fields("ufw firewalld iptables ip6tables nftables netfilter-persistent pf ipfw")
)

var logStop = Detector{
	ID: "log.stop", Level: coi.High, Wants: execs,
	Title: "guard or log switched off", Why: "logs, audit rules and kernel defences are switched off before something is done",
	Detect: onCommands(stopped),
	Fire: append(lines(coi.High, "systemctl stop auditd", "sudo systemctl stop systemd-journald", "service rsyslog stop", "systemctl disable --now rsyslog.service", "systemctl mask systemd-journald.socket", "auditctl -D", "auditctl -e 0", "setenforce 0", "sysctl -w kernel.randomize_va_space=0", "echo 0 > /proc/sys/kernel/randomize_va_space", "pkill -9 rsyslogd", "killall auditd", "kill -9 $(pidof auditd)", "sed -i 's/SELINUX=enforcing/SELINUX=disabled/' /etc/selinux/config", "/etc/init.d/auditd stop", "aa-teardown", "systemctl stop falcon-sensor.service", "chkconfig auditd off", "apt-get remove -y auditd", "update-rc.d rsyslog disable", "echo 0 | sudo tee /proc/sys/kernel/randomize_va_space", "rm -f /etc/audit/rules.d/audit.rules", "cp /usr/sbin/setenforce /tmp/s; /tmp/s 0", "systemctl stop apparmor", "rc-service syslog stop", "echo c2V0ZW5mb3JjZSAw | base64 -d | sh"),
		lines(coi.Warning, "iptables -F", "iptables -D OUTPUT -p tcp --dport 21 -j DROP", "ufw disable", "sudo sed -i 's/Storage=auto/Storage=none/' /etc/systemd/journald.conf", "nft flush ruleset", "systemctl stop firewalld", "echo '*.* ~' >> /etc/rsyslog.conf", "iptables -P INPUT ACCEPT", "aa-complain /usr/bin/x", "ufw --force reset")...),
	Quiet: lines("", "systemctl restart rsyslog", "systemctl status auditd", "systemctl stop tetragon", "sudo systemctl stop nginx", "iptables -A OUTPUT -p udp -j DROP", "iptables -L -n", "sysctl -n kernel.randomize_va_space", "ufw enable", "getenforce", "auditctl -l", "systemctl restart docker", "apt-get install -y auditd", "iptables -t nat -A OUTPUT -p tcp -j DNAT --to-destination 172.30.0.10:1", "pkill node", "nft list ruleset", "sudo ufw allow 5432", "kill -9 123", "systemctl stop unattended-upgrades", "sysctl -w kernel.unprivileged_userns_clone=1"),
}

func unitName(u string) string {
	return strings.TrimSuffix(strings.TrimSuffix(base(u), ".service"), "*")
}

func stopped(s *command.Simple, v track.View) *Finding {
	p := s.Parsed()
	judge := func(unit string) *Finding {
		switch n := unitName(unit); {
		case oneOf(n, watchers...):
			return say(s, coi.High, n+" switched off")
		case oneOf(n, fences...):
			return say(s, coi.Warning, n+" switched off")
		}
		return nil
	}
	var units []string
	switch s.Name {
	case "systemctl":
		if len(p.Rest) > 1 && oneOf(p.Rest[0], "stop", "disable", "mask", "kill") {
			units = p.Rest[1:]
		}
	case "service", "rc-service", "sv", "initctl", "rcctl", "invoke-rc.d":
		if s.Arg("stop", "onestop", "disable", "down", "off") {
			units = p.Rest
		}
	case "chkconfig", "update-rc.d", "rc-update", "sysrc":
		if s.Arg("off", "disable", "remove", "del") || strings.HasSuffix(s.Line(), "=NO") {
			units = p.Rest
		}
	case "pkill", "killall":
		units = p.Rest
	case "kill":
		for _, f := range s.From {
			if f.Is("pidof", "pgrep", "cat") {
				for _, a := range f.Argv[1:] {
					units = append(units, strings.TrimSuffix(base(a), ".pid"))
				}
			}
		}
	case "apt", "yum", "dnf", "rpm", "apk", "zypper", "pacman", "dpkg", "snap", "pkg":
		if s.Arg("remove", "purge", "erase", "-e", "del", "rm", "autoremove", "-R", "-Rns", "-r", "-P") {
			units = p.Rest
		}
	}
	if strings.HasPrefix(s.Prog, "/etc/init.d/") && s.Arg("stop") {
		units = []string{base(s.Prog)}
	}
	for _, u := range units {
		if f := judge(u); f != nil {
			return f
		}
	}
	if f := switchedOff(s, p); f != nil {
		return f
	}
	return guardFiles(s, v)
}

func switchedOff(s *command.Simple, p program.Parsed) *Finding {
	switch s.Name {
	case "aws", "gcloud", "az":
		if s.Arg("stop-logging", "delete-trail", "delete-flow-logs", "delete-detector", "stop-configuration-recorder") || s.Name == "gcloud" && s.Arg("logging") && s.Arg("delete") || s.Name == "az" && s.Arg("diagnostic-settings") && s.Arg("delete") {
			return say(s, coi.High, "log of the cloud account switched off")
		}
	case "auditctl":
		if p.Has("D") || oneOf("0", p.Values("e")...) || p.Has("d") || hasAny(s.Line(), " never,") {
			return say(s, coi.High, "audit switched off")
		}
	case "setenforce":
		if s.Arg("0", "Permissive", "permissive") {
			return say(s, coi.High, "SELinux switched off")
		}
	case "aa-teardown", "aa-disable":
		return say(s, coi.High, "AppArmor switched off")
	case "aa-complain":
		return say(s, coi.Warning, "AppArmor profile made toothless")
	case "ufw":
		if s.Arg("disable", "reset", "delete") && !s.Arg("--dry-run") {
			return say(s, coi.Warning, "firewall rule removed")
		}
		if s.Arg("logging") && s.Arg("off") {
			return say(s, coi.Warning, "firewall log switched off")
		}
	case "iptables":
		if p.Has("F", "flush", "D", "delete", "X", "delete-chain", "Z") || p.Has("P", "policy") && s.Arg("ACCEPT") {
			return say(s, coi.Warning, "firewall rule removed")
		}
	case "nft":
		if s.Arg("flush", "delete", "destroy") {
			return say(s, coi.Warning, "firewall rule removed")
		}
	case "firewall-cmd":
		if hasAny(s.Line(), "--remove-", "--panic-off") {
			return say(s, coi.Warning, "firewall rule removed")
		}
	}
	for k, val := range sysctls(s) {
		if strings.HasSuffix(k, "/randomize_va_space") && val == "0" {
			return say(s, coi.High, "address randomisation switched off").at(k, command.Write)
		}
	}
	return nil
}

func guardFiles(s *command.Simple, v track.View) *Finding {
	if packaged(s, v) {
		return nil
	}
	for _, a := range s.Accesses() {
		c := classes(v, a)
		gone := changes(a.Op) || a.Op == command.Delete
		switch {
		case a.Op == command.Delete && hasAny(a.Path, "/bin/", "/sbin/") && oneOf(base(a.Path), watchers...) && !inWorkspace(v, a.Path):
			return say(s, coi.High, base(a.Path)+" removed").at(a.Path, a.Op)
		case !gone:
		case strings.HasSuffix(a.Path, "/randomize_va_space") && !(a.Known && strings.TrimSpace(a.Text) != "0" && !hasAny(a.Text, "0")):
			return say(s, coi.High, "address randomisation switched off").at(a.Path, a.Op)
		case paths.Any(c, paths.SELinuxState) && (!a.Known || hasAny(a.Text, "disabled", "permissive", "0")):
			return say(s, coi.High, "SELinux switched off").at(a.Path, a.Op)
		case paths.Any(c, paths.AuditRules) && (a.Op == command.Delete || a.Op == command.Write):
			return say(s, coi.High, "audit rules removed").at(a.Path, a.Op)
		case paths.Any(c, paths.LogConfig, paths.AuditRules):
			return say(s, coi.Warning, "log configuration changed").at(a.Path, a.Op)
		}
	}
	return nil
}

var logTimes = Detector{
	ID: "log.times", Level: coi.Warning, Wants: execs,
	Title: "file times falsified", Why: "a false time makes a new program look old",
	Detect: onCommands(times),
	Fire:   lines(coi.Warning, "touch -t 197001010000.00 /usr/bin/x", "touch -acmr /bin/sh /tmp/x", "touch -r /bin/ls /usr/local/bin/e", "touch -d '1 Jan 2015' /usr/sbin/e", "touch -m -t 197001010000.00 /tmp/T", "debugfs -w -R 'set_inode_field /tmp/x ctime 0' /dev/loop0", "cp /usr/bin/touch /tmp/t; /tmp/t -r /bin/ls /tmp/x"),
	Quiet:  lines("", "touch file", "touch -d '2 days ago' testdata/a", "touch -r a b", "touch -t 202401010000 x", "touch database/database.sqlite", "git commit --date=now", "touch -d @0 dist/x"),
}

func times(s *command.Simple, _ track.View) *Finding {
	if s.Name == "debugfs" && hasAny(s.Line(), "set_inode_field") {
		return say(s, coi.Warning, "file times set in the file system")
	}
	if s.Name != "touch" {
		return nil
	}
	p := s.Parsed()
	bin := func(f string) bool {
		return hasPrefixAny(f, "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/lib/", "/usr/lib/", "/etc/")
	}
	for _, r := range p.Values("r", "reference") {
		if bin(r) {
			return say(s, coi.Warning, "file times copied from a system program")
		}
	}
	set := p.Has("t", "d", "r", "date", "reference", "time")
	for _, f := range p.Rest {
		if set && bin(f) {
			return say(s, coi.Warning, "file times of a system file set").at(f, command.Attrib)
		}
		if len(p.Values("t")) > 0 && program.Writable(f) && strings.HasPrefix(p.Values("t")[0], "19") {
			return say(s, coi.Warning, "file times set back by decades").at(f, command.Attrib)
		}
	}
	return nil
}
