package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var logStop = Detector{
	ID: "log.stop", Level: coi.High, Wants: execs,
	Title: "guard or log switched off", Why: "logs, audit rules and kernel defences are switched off before something is done",
	Detect: onCommands(stopped),
	Fire: append(lines(coi.High, "echo kernel.randomize_va_space=0 >> /etc/sysctl.d/99-x.conf", "systemctl stop auditd", "sudo systemctl stop systemd-journald", "service rsyslog stop", "systemctl disable --now rsyslog.service", "systemctl mask systemd-journald.socket", "auditctl -D", "auditctl -e 0", "setenforce 0", "sysctl -w kernel.randomize_va_space=0", "echo 0 > /proc/sys/kernel/randomize_va_space", "pkill -9 rsyslogd", "/tmp/.x -9 -f auditd", "/tmp/.x -r auditd", "/tmp/.x stop rsyslog auditd", "kill -9 $(/tmp/.x rsyslogd)", "killall auditd", "kill -9 $(pidof auditd)", "sed -i 's/SELINUX=enforcing/SELINUX=disabled/' /etc/selinux/config", "/etc/init.d/auditd stop", "aa-teardown", "systemctl stop falcon-sensor.service", "chkconfig auditd off", "apt-get remove -y auditd", "update-rc.d rsyslog disable", "echo 0 | sudo tee /proc/sys/kernel/randomize_va_space", "rm -f /etc/audit/rules.d/audit.rules", "cp /usr/sbin/setenforce /tmp/s; /tmp/s 0", "systemctl stop apparmor", "rc-service syslog stop", "echo c2V0ZW5mb3JjZSAw | base64 -d | sh", "sudo dpkg --purge falcon-sensor", "/opt/sophos-av/bin/savdctl disable", "/var/ossec/bin/wazuh-control stop", "rm -rf /opt/CrowdStrike /var/ossec", "mdatp config real-time-protection --value disabled"),
		lines(coi.Warning, "iptables -F", "iptables -D OUTPUT -p tcp --dport 21 -j DROP", "ufw disable", "sudo sed -i 's/Storage=auto/Storage=none/' /etc/systemd/journald.conf", "nft flush ruleset", "systemctl stop firewalld", "echo '*.* ~' >> /etc/rsyslog.conf", "iptables -P INPUT ACCEPT", "aa-complain /usr/bin/x", "chattr -i /etc/audit/auditd.conf", "pfctl -d", "ufw --force reset")...),
	Quiet: lines("", "systemctl restart rsyslog", "systemctl status auditd", "mdatp health", "chattr -i data/x", "chattr +i /etc/resolv.conf", "wazuh-control status", "systemctl stop tetragon", "sudo systemctl stop nginx", "iptables -A OUTPUT -p udp -j DROP", "iptables -L -n", "sysctl -n kernel.randomize_va_space", "ufw enable", "getenforce", "auditctl -l", "systemctl restart docker", "apt-get install -y auditd", "iptables -t nat -A OUTPUT -p tcp -j DNAT --to-destination 172.30.0.10:1", "pkill node", "nft list ruleset", "sudo ufw allow 5432", "kill -9 123", "systemctl stop unattended-upgrades", "sysctl -w kernel.unprivileged_userns_clone=1"),
}

// guardTools are the programs that run guards.
var guardTools = strings.Fields("savdctl savdstatus falconctl mdatp wazuh-control ossec-control osqueryctl sentinelctl cbagentd-ctl auditbeat filebeat falcoctl esets_daemon kesl-control clamdctl bdsec nsr_control cytool xagt")

// flagMinus is the first mode of chattr that takes a flag away.
func flagMinus(s *command.Simple) string {
	for _, a := range s.Argv[1:] {
		if len(a) > 1 && a[0] == '-' && strings.ContainsAny(a[1:], "iau") && !strings.ContainsAny(a[1:], "RVfvp") {
			return a
		}
	}
	return ""
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
			if f.Is("pidof", "pgrep", "cat") || f.Class() == program.None {
				for _, a := range f.Argv[1:] {
					units = append(units, strings.TrimSuffix(base(a), ".pid"))
				}
			}
		}
	case "apt", "yum", "dnf", "rpm", "apk", "zypper", "pacman", "dpkg", "snap", "pkg":
		if s.Arg("remove", "purge", "erase", "--purge", "--remove", "--erase", "-e", "del", "rm", "autoremove", "-R", "-Rns", "-r", "-P") {
			units = p.Rest
		}
	}
	if strings.HasPrefix(s.Prog, "/etc/init.d/") && s.Arg("stop") {
		units = []string{base(s.Prog)}
	}
	if oneOf(s.Name, guardTools...) {
		if s.Arg("stop", "disable", "off", "shutdown", "unload", "uninstall") || hasAny(s.Line(), "--value disabled", "-s --aid", "--stop") {
			return say(s, coi.High, "guard switched off by "+s.Name)
		}
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
	case "pfctl", "ipfw":
		if s.Arg("-d", "-F", "flush", "disable") {
			return say(s, coi.Warning, "firewall switched off")
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

// guardFolder are the places where guards live.
var guardFolder = regexp.MustCompile(`(?i)^/(?:opt|usr/local|usr/share|usr/lib|etc|var|var/lib)/(?:crowdstrike|ossec|wazuh\S*|sentinelone|mdatp|microsoft/mdatp|ds_agent|qcloud|aegis|cloudmonitor|falco|osquery|carbonblack|cbagent\S*|sophos\S*|tanium|rapid7|elastic/(?:agent|endpoint)|auditbeat|bitdefender\S*|kaspersky|eset|traps|fireeye|lacework|sysdig|fail2ban|apparmor\.d|suricata|snort)(?:/|\*|$)`)

var aslrOff = regexp.MustCompile(`randomize_va_space\s*=\s*0`)

func guardFiles(s *command.Simple, v track.View) *Finding {
	if packaged(s, v) {
		return nil
	}
	for _, a := range s.Accesses() {
		c := classes(v, a)
		gone := changes(a.Op) || a.Op == command.Delete
		if s.Name == "chattr" && a.Op == command.Attrib && strings.HasPrefix(flagMinus(s), "-") && paths.Any(c, paths.LogConfig, paths.AuditRules, paths.SecurityLog, paths.Shadow, paths.Sudoers, paths.Accounts) {
			return say(s, coi.Warning, "lock taken off a system file").at(a.Path, a.Op)
		}
		switch {
		case a.Op == command.Delete && hasAny(a.Path, "/bin/", "/sbin/") && oneOf(base(a.Path), watchers...) && !inWorkspace(v, a.Path):
			return say(s, coi.High, base(a.Path)+" removed").at(a.Path, a.Op)
		case a.Op == command.Delete && guardFolder.MatchString(a.Path) && !inWorkspace(v, a.Path):
			return say(s, coi.High, "files of a guard removed").at(a.Path, a.Op)
		case !gone:
		case hasPrefixAny(a.Path, "/etc/sysctl.") && aslrOff.MatchString(a.Text):
			return say(s, coi.High, "address randomisation switched off for good").at(a.Path, a.Op)
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
