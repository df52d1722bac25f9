package detect

import (
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
		"echo 'u ALL=(ALL) ALL' | EDITOR='tee -a' visudo", "sudo sh -c \"echo Defaults '!'tty_tickets >> /etc/sudoers\"", "python3 -c \"open('/etc/sudoers','a').write('u ALL=NOPASSWD: ALL')\"", "echo 'permit nopass u' >> /etc/doas.conf"),
		lines(coi.Warning, "sudo sed -i '/env_reset/d' /etc/sudoers", "cp my /etc/sudoers.d/my", "sudo cat /etc/sudoers")...), events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/bin/tee", Path: "/etc/sudoers.d/x"})...),
	Quiet: lines("", "sudo visudo -c", "sudo -l", "ls -l /etc/sudoers.d", "chmod 440 /etc/sudoers.d/x", "rm /etc/sudoers.d/x", "grep $USER /etc/subuid /etc/subgid", "man sudoers"),
}

func adds(text string) bool {
	return hasAny(text, "NOPASSWD", "ALL=", "ALL =", "(ALL", "!authenticate", "timestamp_timeout", "tty_tickets", "visiblepw", "targetpw", "rootpw", "permit ", "!requiretty", "timestamp_type", "setenv", "!env_reset", "LD_PRELOAD")
}

func sudoers(s *command.Simple, v track.View) *Finding {
	if s.Name == "visudo" {
		for _, a := range s.Env {
			if oneOf(a.Name, "EDITOR", "VISUAL", "SUDO_EDITOR") && (hasAny(a.Value, "tee", "sed", "cat", "sh ") || len(s.Stdin) > 0) {
				return say(s, coi.High, "sudo rules changed through visudo")
			}
		}
		return nil
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
