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
	Fire: append(append(lines(coi.High, "/tmp/.x /var/log/auth.log", "/tmp/.x /var/log/auth.log < /dev/null", "rm -rf / --no-preserve-root", "rm -rf /*", "rm -rf /var/log/auth.log", "truncate -s 0 /var/log/syslog", "cat /dev/null > /var/log/messages", "echo '' > /var/log/secure", "unlink /var/log/wtmp", "sudo rm /var/log/journal/*", "echo 0> /var/spool/mail/root", "> /var/log/auth.log", ": > /var/log/lastlog", "shred -u /var/log/audit/audit.log", "dd if=/dev/zero of=/var/log/btmp bs=1 count=1", "ln -sf /dev/null /var/log/wtmp", "cp /dev/null /var/log/auth.log",
		"sed -i '/203.0.113.9/d' /var/log/auth.log", "find /var/log/journal -type f -delete", "python3 -c \"open('/var/log/auth.log','w')\"", "rm -rf /var/log/*", "mv /var/log/auth.log /tmp/", "journalctl --vacuum-time=1s", "journalctl --rotate --vacuum-size=1", "tee /var/log/secure < /dev/null", "cp /bin/rm /tmp/r; /tmp/r -f /var/log/auth.log", "for f in auth.log syslog; do rm -f /var/log/$f; done", "cd /var/log && rm -f auth.log", "busybox rm /var/log/messages", "perl -e 'unlink \"/var/log/auth.log\"'", "rm /var/log/aut*", "wevtutil; rm -f /var/log/audit/*", "find /var/log -name 'auth.log*' -exec rm {} \\;", "find /var/log -type f | xargs truncate -s 0", "for l in $(ls /var/log/*.log); do echo > $l; done", "find /var/log -name '*.log' -exec sh -c '> {}' \\;", "find /var/log -type f -exec sh -c ': > \"$1\"' _ {} \\;",
		"find /var/log -type f -delete -o -name '*.gz' -mtime +1", "find /var/log -name '*.gz' -mtime -999 -o -type f -delete", "find /var/log ! -name '*.gz' -mtime -99 -delete", "find /var/log -not -name '*.gz' -ctime -99 -delete", "find /var/log \\( -name '*.gz' -o -name '*' \\) -mtime -9999 -delete", "find /var/log -delete -name '*.gz' -mtime +30", "find /var/log -name '*.1' -mtime -1 -o -name '*' -delete", "find /var/log ! -mtime +30 -delete", "find /var/log -false -o -delete -name '*.gz' -mtime +1", "find /var/log -name '*.gz' -mtime +1 , -delete",
		": >> /etc/machine-id; rm -rf /var/log/*", "truncate -s 0 /etc/machine-id; rm -rf /var/log/*"),
		lines(coi.Warning, "shred -u /tmp/x.txt", "rm /var/log/nginx/access.log", "truncate -s0 /var/log/app.log", "rm -rf /var/cache/apt /var/log/*.log", "apt-get clean; truncate -s 0 /etc/machine-id; rm -rf /var/log/*", "find /var/log -name '*.gz' -mtime -30 -delete")...), events(event.Event{Type: event.Delete, PID: 3, Exe: "/usr/bin/rm", Path: "/var/log/auth.log"})...),
	Quiet: append(lines("", "find /var/log -name '*.gz' -mtime +30 -delete", "find /var/log \\( -name '*.gz' -o -name '*.1' \\) -mtime +30 -delete", "find /var/log ! -name '*.log' -name '*.gz' -mtime +7 -delete", "rm -f ./app.log", "find / -name '*.pyc' -delete", "cat /var/log/auth.log", "tail -f /var/log/syslog", "logrotate -f /etc/logrotate.conf", "rm -rf /var/log/apt/* /var/log/dpkg.log", "journalctl -u ssh", "journalctl --vacuum-time=2d", "rm -rf /var/lib/apt/lists/*", "apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/dpkg.log", "echo x >> /var/log/app.log", "sudo dmesg", "grep x /var/log/messages", "journalctl --lines n --follow"),
		events(event.Event{Type: event.Rename, PID: 3, Exe: "/usr/sbin/logrotate", Path: "/var/log/syslog", Path2: "/var/log/syslog.1"})...),
}

func wipe(s *command.Simple, v track.View) *Finding {
	if s.Name == "logrotate" || packaged(s, v) || s.Name == "mkdir" || s.Name == "ssh-keygen" {
		return nil
	}
	if s.Name == "journalctl" && vacuumed(s) {
		return say(s, coi.High, "journal emptied")
	}
	if s.Is("shred", "srm", "wipe") && s.Parsed().Has("u", "z", "remove", "f") {
		for _, a := range s.Accesses() {
			if a.Op == command.Delete && program.Writable(a.Path) {
				return say(s, coi.Warning, "file overwritten and removed").at(a.Path, a.Op)
			}
		}
	}
	if p := lister(s); p != nil && (oneOf(s.Name, "rm", "shred", "truncate", "unlink", "cp", "tee", "dd") || overwrites(s)) {
		for _, a := range p.Accesses() {
			if a.Op != command.Search && a.Op != command.Look {
				continue
			}
			if f := wipedBy(s, v, command.Touch(a.Path, command.Delete, a.Op == command.Search)); f != nil {
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

// lister is the command that names the files which s works on: the find whose
// -exec runs it, itself or through a shell, or what its words come from.
func lister(s *command.Simple) *command.Simple {
	for p := s.Parent; p != nil && (p.Class() == program.Shell || p.Name == "find"); p = p.Parent {
		if p.Name == "find" {
			return p
		}
	}
	for _, p := range s.From {
		if p.Is("find", "ls") {
			return p
		}
	}
	return nil
}

// overwrites reports output into a file that is named by what find found.
func overwrites(s *command.Simple) bool {
	for _, r := range s.Redirs {
		if strings.HasPrefix(r.Op, ">") && r.Op != ">>" && hasAny(r.Path, "{}", "$()", "$0", "$1", "$f") {
			return true
		}
	}
	return false
}

func wipedBy(s *command.Simple, v track.View, a command.Access) *Finding {
	gone := a.Op == command.Delete || a.Op == command.Write || a.Op == command.Link || a.Op == command.Append && (s.Is("sed", "perl", "ruby", "ed") || codeHas(s, "truncate"))
	if !gone {
		return nil
	}
	if a.Op == command.Write && a.Path2 != "" && a.Path2 != "/dev/null" && !s.Is("cp", "mv", "install") {
		return nil
	}
	c := classes(v, a)
	switch {
	case strings.HasPrefix(a.Path, "/var/log/") && star(a.Path) && a.Op == command.Delete && cleanup(s, v):
		return say(s, coi.Warning, "logs removed").at(a.Path, a.Op)
	case paths.Any(c, paths.SecurityLog):
		return say(s, coi.High, "log destroyed").at(a.Path, a.Op)
	case s.Name == "find" && hasPrefixAny(a.Path, "/var/log") && a.Op == command.Delete && setAside(s):
		return nil
	case s.Name == "find" && a.Path == "/var/log" && a.Op == command.Delete && rotated(s):
		return say(s, coi.Warning, "old logs removed").at(a.Path, a.Op)
	case a.Path == "/var/log" && a.Op == command.Delete || a.Path == "/var/log/*" && (a.Op == command.Delete || a.Op == command.Write && emptied(s, a)):
		if cleanup(s, v) {
			return say(s, coi.Warning, "all logs removed").at(a.Path, a.Op)
		}
		return say(s, coi.High, "all logs destroyed").at(a.Path, a.Op)
	case a.Tree && a.Op == command.Delete && s.Name == "find" && oneOf(a.Path, "/", "/var", "/var/log") && rotated(s):
		if strings.HasPrefix(a.Path, "/var/log") {
			return say(s, coi.Warning, "old logs removed").at(a.Path, a.Op)
		}
		return nil
	case a.Tree && a.Op == command.Delete && oneOf(a.Path, "/", "/*", "/var", "/var/*") && !s.Nested && !s.Remote:
		return say(s, coi.High, "the whole system removed, logs included").at(a.Path, a.Op)
	case strings.HasPrefix(a.Path, "/var/log/") && star(a.Path) && a.Op == command.Delete:
		return say(s, coi.High, "logs destroyed").at(a.Path, a.Op)
	case a.Op == command.Delete && strings.Count(a.Path, "/") > 3 && rotatedName.MatchString(base(a.Path)):
		return nil
	case paths.Any(c, paths.OtherLog) && (a.Op == command.Delete || s.Is("truncate", "shred", "cp") || a.Op == command.Write && emptied(s, a)):
		return say(s, coi.Warning, "log of a program removed").at(a.Path, a.Op)
	}
	return nil
}

// rotatedName is a log that was put aside: nothing writes into it any more.
var rotatedName = regexp.MustCompile(`\.(?:gz|xz|bz2|zst|old|\d+)$`)

// setAside reports a find that takes nothing but old logs of that kind.
func setAside(s *command.Simple) bool {
	if takesLive(s.Argv) {
		return false
	}
	named, old := false, false
	for i, a := range s.Argv[:max(0, len(s.Argv)-1)] {
		named = named || (a == "-name" || a == "-iname") && rotatedName.MatchString(strings.TrimSuffix(s.Argv[i+1], "*"))
		old = old || (a == "-mtime" || a == "-ctime") && strings.HasPrefix(s.Argv[i+1], "+")
	}
	return named && old
}

// rotated reports a find that takes nothing but files of a name that no live log
// has, or those that are days old.
func rotated(s *command.Simple) bool {
	if takesLive(s.Argv) {
		return false
	}
	for i, a := range s.Argv {
		if i+1 == len(s.Argv) {
			break
		}
		switch v := s.Argv[i+1]; a {
		case "-name", "-iname":
			if ext := strings.TrimPrefix(v, "*"); ext != "" && !hasAny(ext, "*", "log", "history", "auth", "secure", "messages", "wtmp", "btmp", "journal", "mail") {
				return true
			}
		case "-mtime", "-ctime", "-mmin":
			if n, err := strconv.Atoi(strings.TrimPrefix(v, "+")); err == nil && strings.HasPrefix(v, "+") && n > 0 && (a != "-mmin" || n > 1440) {
				return true
			}
		}
	}
	return false
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
