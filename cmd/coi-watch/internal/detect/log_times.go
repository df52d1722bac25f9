package detect

import (
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var logTimes = Detector{
	ID: "log.times", Level: coi.Warning, Wants: execs,
	Title: "file times falsified", Why: "a false time makes a new program look old",
	Detect: onCommands(times),
	Fire:   lines(coi.Warning, "touch -t 197001010000.00 /usr/bin/x", "touch -acmr /bin/sh /tmp/x", "touch -r /bin/ls /usr/local/bin/e", "touch -d '1 Jan 2015' /usr/sbin/e", "touch -m -t 197001010000.00 /tmp/T", "touch -t 202001010101 ~/.ssh/authorized_keys", "debugfs -w -R 'set_inode_field /tmp/x ctime 0' /dev/loop0", "cp /usr/bin/touch /tmp/t; /tmp/t -r /bin/ls /tmp/x"),
	Quiet:  lines("", "touch file", "touch -d '2 days ago' testdata/a", "touch -r a b", "touch -t 202401010000 x", "touch database/database.sqlite", "git commit --date=now", "touch -d @0 dist/x"),
}

func times(s *command.Simple, v track.View) *Finding {
	if s.Name == "debugfs" && hasAny(s.Line(), "set_inode_field") {
		return say(s, coi.Warning, "file times set in the file system")
	}
	p := s.Parsed()
	switch {
	case s.Name == "timedatectl" && s.Arg("set-time"), s.Name == "date" && !s.Nested && len(p.Values("s", "set")) > 0 && !hasAny(s.Line(), "$(", "@"), s.Name == "hwclock" && s.Arg("--set"):
		return say(s, coi.Warning, "clock set by hand")
	case s.Name != "touch":
		return nil
	}
	bin := func(f string) bool {
		return hasPrefixAny(f, "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/lib/", "/usr/lib/", "/etc/")
	}
	if slices.ContainsFunc(p.Values("r", "reference"), bin) {
		return say(s, coi.Warning, "file times copied from a system program")
	}
	set := p.Has("t", "d", "r", "date", "reference", "time")
	for _, a := range s.Accesses() {
		if set && a.Op == command.Attrib && len(classes(v, a)) > 0 {
			return say(s, coi.Warning, "file times of a file that is watched set").at(a.Path, a.Op)
		}
	}
	for _, f := range p.Rest {
		if set && bin(f) {
			return say(s, coi.Warning, "file times of a system file set").at(f, command.Attrib)
		}
		if len(p.Values("t")) > 0 && program.Writable(f) && strings.HasPrefix(p.Values("t")[0], "19") {
			return say(s, coi.Warning, "file times set back by decades").at(f, command.Attrib)
		}
	}
	return nil
}
