package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credEnviron = Detector{
	ID: "cred.environ", Level: coi.High, Wants: files,
	Title: "environment of a process read",
	Why:   "environments hold tokens; memory holds everything",
	Detect: either(environ, func(ev event.Event, v track.View) []Finding {
		c := v.PathClasses(ev.Path)
		if !readEvent(ev) || !paths.Any(c, paths.Environ, paths.ProcMem) || v.Proc().Class == program.Debugger || v.Proc().Role != "" || v.Under(program.Init) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "environment or memory of another process read", Path: ev.Path, Op: "open", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "cat /proc/1/environ", "cat /proc/$PPID/environ", "strings /proc/*/environ", "tr '\\0' '\\n' < /proc/1234/environ", "for p in /proc/[0-9]*; do cat $p/environ; done", "xargs -0 -n1 < /proc/$PID/environ", "dd if=/proc/77/mem of=/tmp/m", "cat /proc/$(pgrep node)/environ", "python3 -c \"print(open('/proc/1/environ').read())\"", "grep -a TOKEN /proc/*/environ", "python3 -c \"import os;[print(open('/proc/'+p+'/environ').read()) for p in os.listdir('/proc') if p.isdigit()]\"", "cp /bin/cat /tmp/c; /tmp/c /proc/1/environ"),
		lines(coi.Warning, "cat /proc/self/environ", "tr '\\0' '\\n' < /proc/$$/environ", "strings /proc/self/environ")...), events(event.Event{Type: event.Open, PID: 3, Exe: "/usr/bin/cat", Path: "/proc/12/environ"})...),
	Quiet: lines("", "cat /proc/self/status", "sleep 1 & cat /proc/$!/limits", "cat /proc/cpuinfo", "cat /proc/self/attr/current", "env", "printenv | sort", "ls /proc/1", "cat /proc/1/cmdline"),
}

// ownProcess reports a path of the shell that wrote it: $$ is folded to 0,
// which no process has.
func ownProcess(p string) bool {
	return strings.HasPrefix(p, "/proc/0/") && oneOf(base(p), "environ", "mem")
}

// madeEnviron is the path of another process's environment, put together by code.
var madeEnviron = regexp.MustCompile(`/proc/(?:["']\s*[+.]|\{|%|\$\{|#\{)[^\n]{0,40}/environ`)

func environ(s *command.Simple, v track.View) *Finding {
	for _, c := range s.Code {
		if !c.File && madeEnviron.MatchString(c.Text) {
			return say(s, coi.High, "environments of other processes read by code")
		}
	}
	for _, a := range s.Accesses() {
		if !taken(a) {
			continue
		}
		p := a.Path
		if strings.HasPrefix(p, "/proc/") && strings.HasSuffix(p, "/environ") && strings.Count(p, "/") >= 3 && !hasAny(p, "/self/") && !ownProcess(p) {
			return say(s, coi.High, "environment of another process read").at(p, a.Op)
		}
		c := classes(v, a)
		switch {
		case paths.Any(c, paths.OwnEnviron), ownProcess(p):
			return say(s, coi.Warning, "environment read from /proc").at(p, a.Op)
		case paths.Any(c, paths.Environ):
			return say(s, coi.High, "environment of another process read").at(p, a.Op)
		case paths.Any(c, paths.ProcMem):
			return say(s, coi.High, "memory of a process read").at(p, a.Op)
		}
	}
	return nil
}
