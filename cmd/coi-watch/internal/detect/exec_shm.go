package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execShm = Detector{
	ID: "exec.shm", Level: coi.Warning, Wants: execs,
	Title:  "program in a hiding place",
	Why:    "programs are rarely kept in shared memory or in hidden folders of /tmp",
	Detect: onCommands(shm),
	Fire:   lines(coi.Warning, "/dev/shm/x -v", "/tmp/.hidden/a", "/var/tmp/.cache/b --c", "cd /dev/shm && ./k", "mkdir ~/...; cp $(which sh) ~/...; ~/.../sh -c id", "cp /bin/sh '/tmp/sh '; '/tmp/sh ' -c id", "/tmp/.X11-unix/run"),
	Quiet:  lines("", "/tmp/go-build1/b001/x.test", "/tmp/install-buildx", "./run.sh", "/tmp/tracee/out/host/exec.1.ls", "ls /dev/shm"),
}

func shm(s *command.Simple, _ track.View) *Finding {
	p := s.Prog
	if !strings.Contains(p, "/") {
		return nil
	}
	p = s.Abs(p)
	hidden := program.Writable(p) && strings.Contains(p[1:], "/.")
	if strings.Contains(p+"/", "/.../") || strings.HasSuffix(s.Prog, " ") {
		return say(s, coi.Warning, "program under a name that hides").at(p, command.Exec)
	}
	if hasPrefixAny(p, "/dev/shm/", "/run/shm/") || hidden {
		return say(s, coi.Warning, "program started from "+p).at(p, command.Exec)
	}
	return nil
}
