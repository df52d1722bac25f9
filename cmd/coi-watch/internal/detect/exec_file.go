package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

func execEvent(exe string, flags ...string) []Sample {
	return []Sample{{Level: coi.Warning, Events: []event.Event{{Type: event.Exec, PID: 7, PPID: 1, Exe: exe, Argv: []string{exe}, ExeFlags: flags}}}}
}

var execMemfd = Detector{
	ID: "exec.memfd", Level: coi.High, Wants: execs,
	Title: "program that exists only in memory",
	Why:   "a program without a file on disk was started",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !ev.Has(event.FlagMemfd) || ev.Has(event.FlagSameBytes) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "program started from memory", Path: ev.Exe, Command: cut(joined(ev.Argv), 400)})
	},
	Fire:  execEvent("/memfd:x (deleted)", event.FlagMemfd, event.FlagDeleted),
	Quiet: execEvent("/memfd:runc_cloned", event.FlagMemfd, event.FlagSameBytes),
}

var execDeleted = Detector{
	ID: "exec.deleted", Level: coi.High, Wants: execs,
	Title: "program whose file was deleted",
	Why:   "the file had no name any more when it was started",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !ev.Has(event.FlagDeleted) || ev.Has(event.FlagMemfd) || ev.Has(event.FlagSameBytes) || hasAny(ev.Exe, "/go-build", "/go-run") {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "deleted program started", Path: ev.Exe, Command: cut(joined(ev.Argv), 400)})
	},
	Fire:  execEvent("/tmp/x", event.FlagDeleted),
	Quiet: append(execEvent("/tmp/go-build123/b001/exe/main", event.FlagDeleted), execEvent("/usr/bin/node", event.FlagDeleted, event.FlagSameBytes)...),
}

var execShm = Detector{
	ID: "exec.shm", Level: coi.Warning, Wants: execs,
	Title:  "program in a hiding place",
	Why:    "programs are rarely kept in shared memory or in hidden folders of /tmp",
	Detect: onCommands(shm),
	Fire:   lines(coi.Warning, "/dev/shm/x -v", "/tmp/.hidden/a", "/var/tmp/.cache/b --c", "cd /dev/shm && ./k", "/tmp/.X11-unix/run"),
	Quiet:  lines("", "/tmp/go-build1/b001/x.test", "/tmp/install-buildx", "./run.sh", "/tmp/tracee/out/host/exec.1.ls", "ls /dev/shm"),
}

func shm(s *command.Simple, _ track.View) *Finding {
	p := s.Prog
	if !strings.Contains(p, "/") {
		return nil
	}
	p = s.Abs(p)
	hidden := program.Writable(p) && strings.Contains(p[1:], "/.")
	if hasPrefixAny(p, "/dev/shm/", "/run/shm/") || hidden {
		return say(s, coi.Warning, "program started from "+p).at(p, command.Exec)
	}
	return nil
}

var execDisguised = Detector{
	ID: "exec.disguised", Level: coi.Warning, Wants: execs,
	Title:  "program under a false name",
	Why:    "the content of the program is another than its name says",
	Detect: onCommands(disguised),
	Fire: append(lines(coi.Warning, "cp /bin/sh /tmp/crond; /tmp/crond -c id", "exec -a '[kworker/0:1]' sleep 99", "cp /usr/bin/nc /tmp/sshd && /tmp/sshd -l 9"),
		Sample{Level: coi.Warning, Events: []event.Event{{Type: event.Exec, PID: 7, Exe: "/tmp/ls", ExeIs: "nc", Argv: []string{"/tmp/ls", "-l"}}}}),
	Quiet: lines("", "busybox ls", "sh -c true", "cp /usr/bin/python3 venv/bin/python && venv/bin/python -V", "ln -s /usr/bin/node /opt/bin/node", "exec -a bash bash -l"),
}

func disguised(s *command.Simple, _ track.View) *Finding {
	if s.Renamed && program.Known(s.Prog) && program.ClassOf(s.Prog) != s.Class() && program.Known(s.Name) {
		return say(s, coi.Warning, s.Name+" under the name "+base(s.Prog))
	}
	if s.Renamed && hasPrefixAny(base(s.Prog), "kworker", "kthreadd", "ksoftirqd", "kswapd", "migration", "rcu_", "watchdogd", "khugepaged", "kdevtmpfs", "kauditd", "oom_reaper", "kcompactd", "jbd2", "[") {
		return say(s, coi.Warning, s.Name+" under the name of a kernel thread")
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

var execPreload = Detector{
	ID: "exec.preload", Level: coi.High, Wants: execs,
	Title:  "library forced into a program",
	Why:    "LD_PRELOAD or LD_AUDIT makes a program run foreign code",
	Detect: onCommands(preload),
	Fire: append(lines(coi.Warning, "LD_PRELOAD=/tmp/x.so ls", "export LD_PRELOAD=/home/code/evil.so", "LD_AUDIT=./a.so su", "env LD_PRELOAD=/dev/shm/p.so id"),
		lines(coi.High, "sudo LD_PRELOAD=/tmp/x.so id")...),
	Quiet: lines("", "LD_PRELOAD=libeatmydata.so apt-get install -y x", "LD_LIBRARY_PATH=/tmp/lib ./a", "export LD_LIBRARY_PATH=$PWD/lib", "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libasan.so ./t", "LD_PRELOAD=$(gcc -print-file-name=libasan.so) ./t"),
}

func preload(s *command.Simple, _ track.View) *Finding {
	vars := append([]command.Assign(nil), s.Env...)
	if oneOf(s.Name, "export", "declare", "typeset", "setenv") {
		for _, a := range s.Argv[1:] {
			if n, v, ok := strings.Cut(a, "="); ok {
				vars = append(vars, command.Assign{Name: n, Value: v})
			}
		}
	}
	for _, a := range vars {
		if a.Name != "LD_PRELOAD" && a.Name != "LD_AUDIT" {
			continue
		}
		for _, lib := range strings.FieldsFunc(a.Value, func(r rune) bool { return r == ':' || r == ' ' }) {
			if !strings.Contains(lib, "/") || hasAny(lib, "asan", "tsan", "ubsan", "lsan", "msan", "jemalloc", "tcmalloc", "eatmydata", "faketime", "mimalloc", "fakeroot", "$(") {
				continue
			}
			p := s.Abs(lib)
			if !program.Writable(p) && !hasPrefixAny(p, "/home/", "/root/", "/workspace/", "/$") {
				continue
			}
			level := coi.Warning
			if s.Root && s.Name != "export" {
				level = coi.High
			}
			return say(s, level, a.Name+" of a file in a writable place").at(p, command.Use)
		}
	}
	return nil
}
