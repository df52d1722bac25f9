package command

import (
	"maps"
	"path"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// identify finds the program behind the first word.
func (e *eval) identify(s *Simple) {
	for range 3 {
		p := s.Prog
		if strings.HasPrefix(p, "/proc/") && (strings.Contains(p, "/root/") || strings.Contains(p, "/fd/")) {
			s.Loader = true
		}
		base := path.Base(p)
		if strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld-musl") || base == "ld.so" {
			if rest := afterLoader(s.Argv); len(rest) > 0 {
				s.Loader, s.Argv, s.Prog = true, rest, rest[0]
				continue
			}
		}
		if (base == "busybox" || base == "toybox" || e.alias(p) == "busybox" || wildProgram(s) == "busybox") && len(s.Argv) > 1 && !strings.HasPrefix(s.Argv[1], "-") {
			s.Argv, s.Prog = s.Argv[1:], s.Argv[1]
			continue
		}
		break
	}
	s.Name = program.Canonical(s.Prog)
	if n := wildProgram(s); n != "" {
		s.Name, s.Renamed = n, true
		return
	}
	if a := e.alias(s.Prog); a != "" && a != s.Name {
		s.Name, s.Renamed = a, true
	}
	if !program.Known(s.Name) {
		if g := guess(s); g != "" {
			s.Name, s.Renamed = g, true
		} else if e.jobsFile(s) {
			s.Name, s.Renamed = "crontab", true
		}
	}
}

// jobsFile reports a program where anybody may put one that is given nothing but a file
// that this text made a crontab.
func (e *eval) jobsFile(s *Simple) bool {
	if len(s.Argv) != 2 || !program.Writable(s.Prog) {
		return false
	}
	f := e.files[e.abs(s.Argv[1])]
	return f != nil && f.known && jobs.MatchString(f.s)
}

// afterLoader is what remains when the loader and its options are taken away.
func afterLoader(argv []string) []string {
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "--library-path" || a == "--preload" || a == "--argv0" || a == "--inhibit-rpath" || a == "--audit":
			i++
		case strings.HasPrefix(a, "-"):
		default:
			return argv[i:]
		}
	}
	return nil
}

// alias is the program of which a path is a copy or link made in this text, or
// known by content.
func (e *eval) alias(p string) string {
	if f := e.files[e.abs(p)]; f != nil && f.prog != "" {
		return f.prog
	}
	if e.env.Resolve != nil && strings.Contains(p, "/") {
		return e.env.Resolve(e.abs(p))
	}
	return ""
}

// abs makes a path absolute and clean, as far as the text tells.
func (e *eval) abs(p string) string {
	switch {
	case p == "" || strings.HasPrefix(p, "/"):
	case p == "~" || strings.HasPrefix(p, "~/"):
		p = e.env.Home + p[1:]
	case strings.HasPrefix(p, "$") && strings.Contains(p, "/"): // a folder that is not known
		p = "/$" + p[strings.IndexByte(p, '/'):]
	default:
		p = e.cwd + "/" + p
	}
	return path.Clean(p)
}

// wire follows the redirections in order and says where each descriptor leads.
func (e *eval) wire(s *Simple, f frame) map[int]string {
	m := map[int]string{}
	maps.Copy(m, e.fds)
	if f.n > 1 && f.pos > 0 {
		m[0] = "pipe"
	}
	if f.n > 1 && f.pos < f.n-1 {
		m[1] = "pipe"
	}
	for _, r := range f.redirs {
		switch r.Op {
		case "<&", ">&":
			if n, err := strconv.Atoi(strings.TrimSuffix(r.Path, "-")); err == nil {
				if p, ok := m[n]; ok {
					m[r.FD] = p
				} else {
					delete(m, r.FD)
				}
				continue
			}
			if r.Path == "-" {
				delete(m, r.FD)
				continue
			}
			m[r.FD] = r.Path
			if r.FD == 1 {
				m[2] = r.Path
			}
		case "&>", "&>>":
			m[1], m[2] = r.Path, r.Path
		case "<<", "<<<":
			m[0] = "here"
		default:
			m[r.FD] = r.Path
		}
	}
	if s.Name == "exec" && len(s.Argv) == 1 {
		for _, r := range f.redirs {
			if p, ok := m[r.FD]; ok {
				e.fds[r.FD] = p
			}
		}
	}
	return m
}

// notable reports assignments that mean something without a command.
func notable(env []Assign) bool {
	for _, a := range env {
		if strings.HasPrefix(a.Name, "HIST") || strings.HasPrefix(a.Name, "LD_") || a.Name == "PROMPT_COMMAND" {
			return true
		}
	}
	return false
}
