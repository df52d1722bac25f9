package detect

import (
	"regexp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execMemfd = Detector{
	ID: "exec.memfd", Level: coi.High, Wants: execs,
	Title: "program that exists only in memory",
	Why:   "a program without a file on disk was started",
	Detect: either(memoryCode, func(ev event.Event, _ track.View) []Finding {
		if !ev.Has(event.FlagMemfd) || ev.Has(event.FlagSameBytes) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "program started from memory", Path: ev.Exe, Command: cut(joined(ev.Argv), 400)})
	}),
	Fire: append(execEvent("/memfd:x (deleted)", event.FlagMemfd, event.FlagDeleted), lines(coi.High,
		`python3 -c 'import os;f=os.memfd_create("x");os.write(f,open("/tmp/p","rb").read());os.execv(f"/proc/self/fd/{f}",["k"])'`,
		`python3 -c "import os;f=os.memfd_create('x');os.write(f,open('/tmp/b','rb').read());os.execve(f,['k'],os.environ)"`,
		`python3 -c "import ctypes as c;l=c.CDLL(None);p=l.mmap(0,4096,7,34,-1,0);c.memmove(p,b'\x90',1);c.CFUNCTYPE(None)(p)()"`,
		`perl -e '$n=syscall(319,my $x="",1);open F,">&=$n";print F $d;exec {"/proc/$$/fd/$n"} "k"'`)...),
	Quiet: append(execEvent("/memfd:runc_cloned", event.FlagMemfd, event.FlagSameBytes), lines("",
		`python3 -c 'import os;f=os.memfd_create("x");os.write(f,b"a");print(os.fstat(f))'`, `rg memfd_create src`, `python3 -c 'import os;os.execv("/bin/ls",["ls"])'`)...),
}

var (
	makesMemfd = regexp.MustCompile(`(?i)memfd_create|syscall\s*\(?\s*(?:319|279)\b`)
	runsFD     = regexp.MustCompile(`(?i)(?:exec\w*|fexecve|spawn\w*|system|popen|run|call)\b[^;]{0,40}/proc/(?:self|\$\$|\{?\w*\}?)/fd|fexecve`)
)

// machineCode is bytes put into memory of their own and called.
var machineCode = regexp.MustCompile(`(?i)ctypes.*(?:mmap|mprotect|virtualalloc)\(.*(?:cfunctype|cast\()`)

var memfdName = regexp.MustCompile(`(\w+)\s*=\s*(?:\w+\.)?memfd_create`)

// runsMemfd reports code that gives the descriptor itself to exec.
func runsMemfd(src string) bool {
	m := memfdName.FindStringSubmatch(src)
	return m != nil && hasAny(squeeze(src), "execve("+m[1]+",", "fexecve("+m[1]+",", "execv("+m[1]+",")
}

// memoryCode is program text that makes a file in memory and runs it.
func memoryCode(s *command.Simple, _ track.View) *Finding {
	for _, c := range s.Code {
		if machineCode.MatchString(squeeze(c.Text)) && !scripted(s) {
			return say(s, coi.High, "code that runs machine code of its own")
		}
		if makesMemfd.MatchString(c.Text) && (runsFD.MatchString(c.Text) || runsMemfd(c.Text)) && !scripted(s) {
			return say(s, coi.High, "code that runs a program from memory")
		}
	}
	return nil
}
