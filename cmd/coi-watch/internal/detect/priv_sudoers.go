package detect

import (
	"regexp"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privSudoers = Detector{
	ID: "priv.sudoers", Level: coi.High, Wants: files,
	Title: "sudo rules changed",
	Why:   "a rule that adds rights or removes prompts makes root a matter of one word",
	Detect: either(sudoers, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Rename && ev.Type != event.Create || !paths.Any(v.PathClasses(target(ev)), paths.Sudoers) || v.Under(program.Package) {
			return nil
		}
		if slices.Contains(v.Names(), "visudo") {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "sudo rules written", Path: target(ev), Op: "write", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "echo 'u ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers", "echo 'Defaults !authenticate' | sudo tee /etc/sudoers.d/x", "sudo sed -i 's/env_reset.*$/env_reset,timestamp_timeout=-1/' /etc/sudoers", "printf 'Defaults !tty_tickets\\n' > /etc/sudoers.d/t",
		"echo 'u ALL=(ALL) ALL' | EDITOR='tee -a' visudo", "sudo sh -c \"echo Defaults '!'tty_tickets >> /etc/sudoers\"", "python3 -c \"open('/etc/sudoers','a').write('u ALL=NOPASSWD: ALL')\"", "echo 'permit nopass u' >> /etc/doas.conf", "sudo -u#-1 /bin/bash", "sudo -u \\#4294967295 id"),
		lines(coi.Warning, "sudo sed -i '/env_reset/d' /etc/sudoers", "cp my /etc/sudoers.d/my", "sudo cat /etc/sudoers",
			"sudo vim -c ':!sh'", "sudo vim -c ':!/bin/sh' /dev/null", `sudo awk 'BEGIN {system("/bin/sh")}'`, `sudo find . -exec /bin/sh \; -quit`, "sudo tar cf /dev/null x --checkpoint=1 --checkpoint-action=exec=/bin/sh",
			"sudo zip /tmp/x /etc/hosts -T -TT 'sh #'", `sudo make -s --eval=$'x:\n\t-/bin/sh'`, "sudo make --eval='x: ; sh -i'", `sudo python3 -c 'import os; os.system("/bin/sh")'`, `sudo perl -e 'exec "/bin/sh";'`, "sudo -u root git -c core.pager='sh -p' help")...), append(events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/bin/tee", Path: "/etc/sudoers.d/x"}), Sample{Level: coi.Warning, Events: escapeSample("/usr/bin/less", "sh")}, Sample{Level: coi.Warning, Events: escapeSample("/usr/bin/vim.basic", "/bin/bash", "-i")})...),
	Quiet: append(lines("", "sudo vim /etc/hosts", "sudo awk '{print $1}' /etc/hosts", "sudo find / -name foo -exec grep x {} +", `sudo find . -exec sh -c 'echo "$1"' _ {} \;`, "sudo bash", "sudo -i", "sudo su -", "sudo env -i sh", "sudo docker run -it alpine sh", "sudo chroot /mnt sh",
		"vim -c ':!sh'", "find . -exec sh {} \\;", "sudo make install", "sudo python3 -c 'import os; os.system(\"ls\")'", "sudo python3 setup.py install", "sudo git -c core.pager=cat log", "sudo nice sh", "sudo node -e 'require(\"child_process\").execSync(\"systemctl restart x\")'",
		"sudo visudo -c", "sudo -u '#1' id", "sudoedit /etc/hosts", "sudo -l", "ls -l /etc/sudoers.d", "chmod 440 /etc/sudoers.d/x", "rm /etc/sudoers.d/x", "grep $USER /etc/subuid /etc/subgid", "man sudoers"), Sample{Events: escapeSample("/usr/bin/less", "sh", "-c", "ls")}, Sample{Events: escapeSample("/usr/bin/env", "sh")}),
}

// escapeSample is a shell below a program that sudo started.
func escapeSample(through string, argv ...string) []event.Event {
	root, user := 0, 1000
	return []event.Event{
		{Type: event.Exec, PID: 40, PPID: 1, UID: &user, Exe: "/usr/bin/bash", Argv: []string{"bash"}},
		{Type: event.Exec, PID: 41, PPID: 40, UID: &root, Exe: "/usr/bin/sudo", Argv: []string{"sudo", through, "x"}},
		{Type: event.Exec, PID: 42, PPID: 41, UID: &root, Exe: through, Argv: []string{through, "x"}},
		{Type: event.Exec, PID: 43, PPID: 42, UID: &root, Exe: "/usr/bin/sh", Argv: argv},
	}
}

// rootShell is a shell to type into that a program started as root, which was
// not asked of sudo: a rule for an editor is a rule for everything then. Where
// sudo allows everything anyway nothing is gained, so it is a warning.
func rootShell(s *command.Simple, v track.View) *Finding {
	if !bare(s) {
		return nil
	}
	if s.Root && s.Parent != nil && leads(s.Parent.Name) {
		return say(s, coi.Warning, "root shell out of "+s.Parent.Name)
	}
	if s.Parent != nil || v.Proc().UID != 0 {
		return nil
	}
	for _, n := range v.Names()[min(1, len(v.Names())):] { // nearest first
		switch {
		case leads(n):
			if slices.ContainsFunc(v.Names(), func(n string) bool { return oneOf(n, "sudo", "doas", "pkexec") }) {
				return say(s, coi.Warning, "root shell out of "+n)
			}
			return nil
		case program.ClassOf(n) != program.Shell:
			return nil
		}
	}
	return nil
}

// bare reports a shell without a script or a text to run.
func bare(s *command.Simple) bool {
	if s.Class() != program.Shell || s.Fed || len(s.Stdin) > 0 || len(s.Code) > 0 {
		return false
	}
	p := s.Parsed()
	return len(p.Rest) == 0 && !p.Has("c", "version", "help")
}

// leads reports programs that are no shells and from which one can get to one.
func leads(name string) bool {
	switch program.ClassOf(name) {
	case program.Editor, program.Search, program.Reader, program.Archiver, program.VCS, program.Interpreter, program.Database, program.Build, program.Downloader, program.Uploader:
		return true
	}
	return oneOf(name, "man", "nmap", "journalctl", "tcpdump", "dmesg", "crontab", "gdb", "ftp")
}

// minusOne is the user number -1 in its ways of writing.
var minusOne = regexp.MustCompile(`^\\?#(?:-1|4294967295|\$\(\(\s*0x[fF]{8}\s*\)\)|0x[fF]{8})$`)

func adds(text string) bool {
	return hasAny(text, "NOPASSWD", "ALL=", "ALL =", "(ALL", "!authenticate", "timestamp_timeout", "tty_tickets", "visiblepw", "targetpw", "rootpw", "permit ", "!requiretty", "timestamp_type", "setenv", "!env_reset", "LD_PRELOAD")
}

func sudoers(s *command.Simple, v track.View) *Finding {
	if f := rootShell(s, v); f != nil {
		return f
	}
	if s.Name == "visudo" {
		for _, a := range s.Env {
			if oneOf(a.Name, "EDITOR", "VISUAL", "SUDO_EDITOR") && (hasAny(a.Value, "tee", "sed", "cat", "sh ") || len(s.Stdin) > 0) {
				return say(s, coi.High, "sudo rules changed through visudo")
			}
		}
		return nil
	}
	if s.Name == "sudo" {
		if slices.ContainsFunc(s.Parsed().Values("u", "user"), minusOne.MatchString) {
			return say(s, coi.High, "sudo asked for a user number that wraps to root")
		}
	}
	if s.Name == "sudoedit" && s.Arg("-s", "-i") {
		return say(s, coi.Warning, "sudoedit told to be a shell")
	}
	if packaged(s, v) || s.Name == "sudo" {
		return nil
	}
	for _, a := range s.Accesses() {
		if !paths.Any(a.Classes, paths.Sudoers) {
			continue
		}
		switch {
		case changes(a.Op) && (a.Known && adds(a.Text) || codeHas(s, "NOPASSWD") || codeHas(s, "ALL=")):
			return say(s, coi.High, "sudo rules widened").at(a.Path, a.Op)
		case changes(a.Op), a.Op == command.Read, a.Op == command.Search && !a.Tree, a.Op == command.Some:
			return say(s, coi.Warning, "sudo rules touched").at(a.Path, a.Op)
		}
	}
	return nil
}
