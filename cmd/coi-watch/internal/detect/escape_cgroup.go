package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeCgroup = Detector{
	ID: "escape.cgroup", Level: coi.High, Wants: []event.Type{event.Exec, event.Write, event.Mount},
	Title: "control group used to break out",
	Why:   "release_agent and hand-mounted control groups are a known way out of containers",
	Detect: either(cgroupWords, func(ev event.Event, v track.View) []Finding {
		c := v.PathClasses(ev.Path)
		if ev.Type == event.Write && paths.Any(c, paths.Cgroup) && !v.Under(program.Runtime, program.Init) {
			return one(Finding{Level: coi.High, Title: "release_agent written", Path: ev.Path, Op: "write", PID: ev.PID})
		}
		return nil
	}),
	Fire: append(lines(coi.High, "echo /cmd > /tmp/cgrp/release_agent", "echo 1 > /tmp/cgrp/x/notify_on_release", "mount -t cgroup -o rdma cgroup /tmp/cgrp", "mkdir /tmp/cgrp && mount -t cgroup -o memory cgroup /tmp/cgrp",
		"sh -c 'echo $$ > /tmp/cgrp/x/cgroup.procs'", "printf '%s' /x | tee /mnt/c/release_agent", "python3 -c \"open('/tmp/c/release_agent','w').write('/x')\""),
		events(event.Event{Type: event.Write, PID: 3, Path: "/sys/fs/cgroup/rdma/release_agent"})...),
	Quiet: lines("", "cat /sys/fs/cgroup/cgroup.procs", "echo $$ > /sys/fs/cgroup/mygroup/cgroup.procs", "mount", "grep -r release_agent docs", "systemctl restart docker", "mount -t tmpfs none /mnt"),
}

func cgroupWords(s *command.Simple, _ track.View) *Finding {
	if s.Name == "mount" {
		for _, t := range s.Parsed().Values("t", "types") {
			if strings.HasPrefix(t, "cgroup") {
				level := coi.High
				if t == "cgroup2" && strings.HasSuffix(s.Line(), " /sys/fs/cgroup") {
					level = coi.Warning // its own place, and that version starts no programs
				}
				return say(s, level, "control group mounted by hand")
			}
		}
	}
	for _, a := range s.Accesses() {
		if !changes(a.Op) {
			continue
		}
		switch b := base(a.Path); {
		case b == "release_agent" || b == "notify_on_release":
			return say(s, coi.High, b+" written").at(a.Path, a.Op)
		case b == "cgroup.procs" && !strings.HasPrefix(a.Path, "/sys/fs/cgroup/"):
			return say(s, coi.High, "process moved into a hand-mounted control group").at(a.Path, a.Op)
		}
	}
	return nil
}
