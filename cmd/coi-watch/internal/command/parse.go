package command

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// Parse reads the arguments of an exec.
func Parse(argv []string, env Env) *Command {
	e := newEval(env)
	if len(argv) == 0 {
		return e.cmd
	}
	s := &Simple{}
	f := frame{}
	e.fill(s, argv, f)
	if c := program.Canonical(env.ExeIs); env.ExeIs != "" && program.Known(c) && c != s.Name && !s.Loader && c != "busybox" {
		s.Renamed = !sameFamily(s.Name, c)
		s.Name = c
	}
	e.cmd.Simples = append(e.cmd.Simples, s)
	e.cmd.Text = strings.Join(argv, " ")
	e.follow(s, f)
	if s.Name == "" || !program.Known(s.Name) && env.Script != "" && len(s.Code) == 0 && len(e.cmd.Simples) == 1 {
		e.script(s, f)
	}
	return e.cmd
}

// sameFamily reports names that are alternatives of one program.
func sameFamily(a, b string) bool {
	return a == b || program.ClassOf(a) == program.ClassOf(b) && program.ClassOf(a) == program.Shell
}

// script walks the script text of a program started by its shebang.
func (e *eval) script(s *Simple, f frame) {
	lang := shebang(e.env.Script)
	e.args = s.Argv[1:]
	if lang == "" || program.ClassOf(lang) == program.Shell {
		e.shell(s, e.env.Script, f)
		return
	}
	e.disk = true
	e.code(s, lang, e.env.Script, false, f)
}

// ParseText reads shell text as the code user's shell would run it.
func ParseText(src string, env Env) *Command {
	return Parse([]string{"bash", "-c", src}, env)
}
