package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

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
