package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privCaps = Detector{
	ID: "priv.caps", Level: coi.High, Wants: execs,
	Title:  "capability given to a file",
	Why:    "file capabilities are setuid by another name",
	Detect: onCommands(caps),
	Fire:   append(lines(coi.Warning, "setcap cap_sys_admin+ep ./x", "setcap 'cap_dac_read_search,cap_sys_tty_config+ep' path/to/file", "/usr/bin/getcap -r /usr/bin"), lines(coi.High, "setcap cap_setuid+ep /usr/bin/python3", "sudo setcap cap_dac_override+eip /bin/tar", "cp /usr/bin/perl /tmp/p; setcap cap_setuid=ep /tmp/perl", "setcap =ep /bin/bash")...),
	Quiet:  lines("", "setcap 'cap_net_raw' path/to/file", "setcap cap_net_bind_service=+ep ./server", "getcap -r ./build", "getcap /usr/bin/ping", "setcap -r ./x", "sudo setcap cap_net_admin,cap_net_raw+ep /usr/bin/dumpcap"),
}

func caps(s *command.Simple, _ track.View) *Finding {
	if s.Name == "getcap" && s.Arg("-r") && s.Arg("/", "/usr", "/opt", "/home", "/usr/bin", "/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/", "/usr/bin/") {
		return say(s, coi.Warning, "search for programs with capabilities")
	}
	if s.Name != "setcap" || s.Arg("-r") {
		return nil
	}
	r := s.Parsed().Rest
	for i := 0; i+1 < len(r); i += 2 {
		l := strings.ToLower(r[i])
		if !hasAny(l, "setuid", "setgid", "sys_admin", "sys_ptrace", "dac_", "sys_module", "sys_rawio", "chown", "fowner", "setfcap", "all") && !strings.HasPrefix(l, "=") {
			continue
		}
		level := coi.Warning
		if !strings.HasPrefix(r[i+1], "/") {
			return say(s, level, "capability "+cut(l, 40)+" given to a file").at(s.Abs(r[i+1]), command.Attrib)
		}
		switch program.ClassOf(r[i+1]) {
		case program.Shell, program.Interpreter, program.Editor, program.Reader, program.Archiver, program.Debugger:
			level = coi.High
		}
		if program.Writable(r[i+1]) {
			level = coi.High
		}
		return say(s, level, "capability "+cut(l, 40)+" given to a file").at(s.Abs(r[i+1]), command.Attrib)
	}
	return nil
}
