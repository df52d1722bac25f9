package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execDisguised = Detector{
	ID: "exec.disguised", Level: coi.Warning, Wants: execs,
	Title:  "program under a false name",
	Why:    "the content of the program is another than its name says",
	Detect: onCommands(disguised),
	Fire: append(lines(coi.Warning, "cp /bin/sh /tmp/crond; /tmp/crond -c id", "exec -a '[kworker/0:1]' sleep 99", "cp /usr/bin/nc /tmp/sshd && /tmp/sshd -l 9", "mount --bind /tmp/empty /proc/1234"),
		Sample{Level: coi.Warning, Events: []event.Event{{Type: event.Exec, PID: 7, Exe: "/tmp/ls", ExeIs: "nc", Argv: []string{"/tmp/ls", "-l"}}}}),
	Quiet: lines("", "busybox ls", "mount -t proc proc /proc", "mount --bind /dev /mnt/dev", "sh -c true", "cp /usr/bin/python3 venv/bin/python && venv/bin/python -V", "ln -s /usr/bin/node /opt/bin/node", "exec -a bash bash -l"),
}

// processFolder is the folder of one process in /proc.
var processFolder = regexp.MustCompile(`^/proc/(?:\d+|\$\w*)/?$`)

func disguised(s *command.Simple, _ track.View) *Finding {
	if s.Renamed && program.Known(s.Prog) && program.ClassOf(s.Prog) != s.Class() && program.Known(s.Name) {
		return say(s, coi.Warning, s.Name+" under the name "+base(s.Prog))
	}
	if s.Renamed && hasPrefixAny(base(s.Prog), "kworker", "kthreadd", "ksoftirqd", "kswapd", "migration", "rcu_", "watchdogd", "khugepaged", "kdevtmpfs", "kauditd", "oom_reaper", "kcompactd", "jbd2", "[") {
		return say(s, coi.Warning, s.Name+" under the name of a kernel thread")
	}
	if r := s.Parsed().Rest; s.Name == "mount" && len(r) > 0 && processFolder.MatchString(r[len(r)-1]) && hasAny(s.Line(), "bind", "tmpfs") {
		return say(s, coi.Warning, "process hidden behind a mount")
	}
	if s.Name == "exec" {
		for _, v := range program.Parse(program.Spec{Short: "a"}, s.Argv, true).Values("a") {
			if strings.HasPrefix(v, "[") {
				return say(s, coi.Warning, "program under the name of a kernel thread")
			}
		}
	}
	return nil
}
