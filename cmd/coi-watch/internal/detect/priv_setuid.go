package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privSetuid = Detector{
	ID: "priv.setuid", Level: coi.High, Wants: []event.Type{event.Exec, event.Attrib},
	Title: "setuid bit set",
	Why:   "a setuid program gives its owner's rights to everybody",
	Detect: either(setuid, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Attrib || ev.Mode&0o4000 == 0 || ev.Mode&0o111 == 0 || v.Under(program.Package) || ev.Mode&0o170000 == 0o040000 {
			return nil
		}
		if slices.Contains(v.Names(), "install") {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "setuid bit set", Path: ev.Path, Op: "attrib", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "install -m 4755 -o root /bin/dash /usr/local/bin/d", "cp /bin/sh /usr/bin/ping; chmod u+s /usr/bin/ping", "chmod 4777 /tmp/s", "chmod u+s /tmp/hello", "chmod +s /bin/bash", "sudo chmod 6755 /usr/bin/x", "cp /bin/bash /tmp/b; chmod 04755 /tmp/b", "cp /bin/bash ./b; chmod ug+s ./b", "python3 -c \"import os;os.chmod('/tmp/x',0o4755)\"", "chmod u=rwxs,go=rx /opt/f", "perl -e 'chmod 04755, \"/tmp/x\"'"),
		lines(coi.Warning, "python3 -c 'import os;os.setuid(0);os.system(\"/bin/sh\")'", "chmod u+s /usr/local/bin/bwrap", "find / -perm -4000 -type f 2>/dev/null", "find / -perm -u=s", "find /usr/bin -perm -2000", "find / -perm /6000 -ls", "chmod g+s /opt/tool", "chmod 2755 /tmp/hello", "find / -writable -type d 2>/dev/null", "find / -perm -2 -type f", "find / -uid 0 -perm -4000 -print")...),
		events(event.Event{Type: event.Attrib, PID: 3, Exe: "/usr/bin/chmod", Path: "/tmp/x", Mode: 0o104755})...),
	Quiet: append(lines("", "chmod 755 x", "chmod +x a", "install -m 4755 a /usr/bin/a", "chmod 2775 /srv/shared", "chmod u-s /bin/mount", "find . -perm -111", "find . -writable", "find . -type f -perm 0777", "chmod -R 2775 /tmp/shared", "chmod 0600 k", "chmod o= f", "sudo chmod 4755 node_modules/electron/dist/chrome-sandbox", "chmod +t /tmp", "chmod 1777 /tmp", "find . -type f -perm 644"),
		events(event.Event{Type: event.Attrib, PID: 3, Exe: "/usr/bin/chmod", Path: "/srv", Mode: 0o042775})...),
}

var (
	octalMode   = regexp.MustCompile(`^0*[0-7]{4}$`)
	setuidCode  = regexp.MustCompile(`(?i)chmod\w*\s*\(?[^;\n]*\b0?o?[4-7][0-7]{3}\b`)
	rootCode    = regexp.MustCompile(`(?is)set(?:e|re|res)?uid\s*\(\s*0\b.{0,80}(?:system|exec\w*|spawn)\b.{0,20}(?:/bin/)?(?:ba|z|da)?sh\b|posix_setuid\(0\)|Process::Sys\.setuid\(?\s*0`)
	othersWrite = regexp.MustCompile(`^[-/](?:0*[0-7]?[0-7]?[0-7]?[2367]|o\+?=?r?w.*|-?o=w|a\+?=?w)$`)
	permSetuid  = regexp.MustCompile(`^[-/+]?(?:0*[2-7]0?[0-7]{2}|0*[2-7][0-7]{3}|[ug]*[=+][rwx]*s.*|[ug]+=s.*)$`)
)

func setuid(s *command.Simple, v track.View) *Finding {
	switch s.Name {
	case "chmod":
		p := s.Parsed()
		if len(p.Rest) < 1 || packaged(s, v) {
			return nil
		}
		mode := p.Rest[0]
		u, g := modeBits(mode)
		for _, f := range p.Rest[1:] {
			if hasAny(f, "chrome-sandbox", "chrome_sandbox") {
				return nil
			}
		}
		if u && !strings.HasPrefix(last(p.Rest), "/") && !strings.HasPrefix(last(p.Rest), "$") && inWorkspace(v, s.Abs(last(p.Rest))) && !shellCopy(v, s.Abs(last(p.Rest))) {
			return say(s, coi.Warning, "setuid bit set in the project").at(s.Abs(last(p.Rest)), command.Attrib)
		}
		if f := s.Abs(last(p.Rest)); u && len(p.Rest) > 1 && oneOf(base(f), bySetuid...) && !program.Writable(f) && !shellCopy(v, f) {
			return say(s, coi.Warning, "setuid bit set on a program made for it").at(f, command.Attrib)
		}
		if u {
			return say(s, coi.High, "setuid bit set").at(s.Abs(last(p.Rest)), command.Attrib)
		}
		if g && (strings.ContainsAny(mode, "g+s=") || program.Writable(s.Abs(last(p.Rest))) && !p.Has("R", "recursive")) {
			return say(s, coi.Warning, "setgid bit set").at(s.Abs(last(p.Rest)), command.Attrib)
		}
	case "install":
		for _, m := range s.Parsed().Values("m", "mode") {
			if u, _ := modeBits(m); u && shellSource(s) {
				return say(s, coi.High, "setuid copy of a shell installed")
			}
		}
	case "find", "fd":
		for i, a := range s.Argv {
			if sys, _ := wide(s, s.Roots()); sys && (a == "-writable" || a == "-perm" && i+1 < len(s.Argv) && othersWrite.MatchString(s.Argv[i+1])) && s.Name == "find" {
				return say(s, coi.Warning, "search for files that anybody may write")
			}
			if a == "-perm" && i+1 < len(s.Argv) && permSetuid.MatchString(s.Argv[i+1]) && special(s.Argv[i+1]) {
				return say(s, coi.Warning, "search for setuid programs")
			}
		}
	}
	for _, c := range s.Code {
		if rootCode.MatchString(c.Text) && !scripted(s) {
			return say(s, coi.Warning, "code that becomes root and starts a shell")
		}
		if setuidCode.MatchString(c.Text) && !scripted(s) {
			return say(s, coi.High, "setuid bit set by code")
		}
	}
	return nil
}

// bySetuid are programs that distributions install with the bit.
var bySetuid = strings.Fields("bwrap newuidmap newgidmap fusermount fusermount3 sudo su mount umount passwd ping chsh chfn gpasswd newgrp pkexec ssh-keysign dumpcap firejail starter-suid crontab at unix_chkpwd polkit-agent-helper-1 dbus-daemon-launch-helper")

// shellSource reports an install whose source is a shell or interpreter.
func shellSource(s *command.Simple) bool {
	for _, f := range s.Parsed().Rest {
		if c := program.ClassOf(f); strings.Contains(f, "/") && (c == program.Shell || c == program.Interpreter) {
			return true
		}
	}
	return false
}

// shellCopy reports files that this text made of a shell or interpreter.
func shellCopy(v track.View, p string) bool {
	for _, s := range v.Command().Simples {
		for _, a := range s.Accesses() {
			if c := program.ClassOf(a.Path2); changes(a.Op) && a.Path == p && (c == program.Shell || c == program.Interpreter) {
				return true
			}
		}
	}
	return false
}

// special reports a permission of find with the setuid or setgid bit.
func special(m string) bool {
	if strings.Contains(m, "s") {
		return true
	}
	d := strings.TrimLeft(strings.TrimLeft(m, "-/+"), "0")
	return len(d) == 4 && (d[0]-'0')&6 != 0
}

func last(list []string) string { return list[len(list)-1] }

// modeBits reports the setuid and setgid bits that a chmod mode sets.
func modeBits(mode string) (u, g bool) {
	if octalMode.MatchString(mode) {
		d := mode[len(mode)-4] - '0'
		return d&4 != 0, d&2 != 0
	}
	for part := range strings.SplitSeq(mode, ",") {
		i := strings.IndexAny(part, "+=")
		if i < 0 || !strings.Contains(part[i:], "s") {
			continue
		}
		who := part[:i]
		if who == "" || strings.ContainsAny(who, "ua") {
			u = true
		}
		if who == "" || strings.ContainsAny(who, "ga") {
			g = true
		}
	}
	return u, g
}
