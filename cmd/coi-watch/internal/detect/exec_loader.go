package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execLoader = Detector{
	ID: "exec.loader", Level: coi.Warning, Wants: execs,
	Title:  "program started in a roundabout way",
	Why:    "starting a program through the loader or /proc hides its name",
	Detect: onCommands(loader),
	Fire:   lines(coi.Warning, "/lib64/ld-linux-x86-64.so.2 /bin/ls", "/proc/self/root/usr/bin/id", "/proc/1234/fd/5"),
	Quiet:  lines("", "ldd /bin/ls", "ls /lib64", "ldconfig", "cat /proc/self/root/etc/os-release"),
}

func loader(s *command.Simple, _ track.View) *Finding {
	if !s.Loader {
		return nil
	}
	return say(s, coi.Warning, s.Name+" started through the loader or /proc")
}
