package command

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// filtered is the output of filters that change known text in a plain way:
// "sed s/a/b/g" of literals and "cut -cN-". ok is false for all others.
func filtered(s *Simple) (value, bool) {
	out := value{from: s.Stdin, decoded: s.Decoded}
	if !s.Fed {
		return out, false
	}
	p := s.Parsed()
	switch s.Name {
	case "sed":
		scripts, files := sedScripts(p)
		if len(files) > 0 || p.Has("n", "i") {
			return out, false
		}
		m := plainSubst.FindStringSubmatch(strings.Join(scripts, "\n"))
		if m == nil || strings.ContainsAny(m[2]+m[3], `\.*[]^$&`) || m[2] == "" {
			return out, false
		}
		n := 1
		if strings.Contains(m[4], "g") {
			n = -1
		}
		out.s, out.known = strings.Replace(s.Feed, m[2], m[3], n), true
	case "cut":
		v := p.Values("c", "characters", "b", "bytes")
		if len(v) != 1 || len(p.Rest) > 0 {
			return out, false
		}
		n, err := strconv.Atoi(strings.TrimSuffix(v[0], "-"))
		if err != nil || n < 1 || !strings.HasSuffix(v[0], "-") {
			return out, false
		}
		var b strings.Builder
		for line := range strings.Lines(s.Feed) {
			if len(line) >= n {
				b.WriteString(line[n-1:])
			}
		}
		out.s, out.known = b.String(), true
	default:
		return out, false
	}
	return out, true
}

// plainSubst is one substitution of sed. RE2 has no back references: the three
// usual delimiters are written out.
var plainSubst = regexp.MustCompile(`^s([/|#,])([^/|#,]*)[/|#,]([^/|#,]*)[/|#,](g?)$`)

// sedScripts are the scripts of a sed command, and the files that follow.
func sedScripts(p program.Parsed) (scripts, files []string) {
	if scripts = p.Values("e", "expression"); len(scripts) == 0 && len(p.Rest) > 0 {
		return p.Rest[:1], p.Rest[1:]
	}
	return scripts, p.Rest
}

// sedRuns are the commands that a sed script starts by its e command.
func sedRuns(s *Simple) []string {
	scripts, _ := sedScripts(s.Parsed())
	var out []string
	for _, t := range scripts {
		for _, m := range sedExec.FindAllStringSubmatch(t, 8) {
			out = append(out, m[1])
		}
	}
	return out
}

var sedExec = regexp.MustCompile(`(?m)(?:^|;)\s*(?:\d+|\$)?\s*e\s+(\S[^\n]*)`)

// runsValue are variables whose value programs start as a command. The list
// says which; nothing means shells.
var runsValue = map[string][]string{
	"GIT_SSH_COMMAND": {"git"}, "GIT_SSH": {"git"}, "GIT_PAGER": {"git"}, "GIT_EDITOR": {"git"}, "GIT_SEQUENCE_EDITOR": {"git"}, "GIT_EXTERNAL_DIFF": {"git"}, "GIT_ASKPASS": {"git"}, "GIT_PROXY_COMMAND": {"git"},
	"PAGER": {"git", "man", "psql", "mysql", "systemctl", "journalctl", "aws", "gh"}, "MANPAGER": {"man"}, "SYSTEMD_PAGER": {"systemctl", "journalctl"}, "BROWSER": {"man", "git", "gh", "xdg-open"},
	"EDITOR": {"git", "crontab", "sudo", "visudo", "systemctl", "gh", "kubectl", "less"}, "VISUAL": {"git", "crontab", "sudo", "visudo", "less"}, "SUDO_EDITOR": {"sudo", "sudoedit"}, "SUDO_ASKPASS": {"sudo"}, "SSH_ASKPASS": {"ssh", "git", "ssh-add"},
	"LESSOPEN": {"less", "man", "git"}, "LESSCLOSE": {"less"}, "RSYNC_RSH": {"rsync"}, "CVS_RSH": {"cvs"}, "PROMPT_COMMAND": nil, "MAKE_SHELL": {"make"},
}

// environment follows the assignments in front of a command whose value the
// command starts.
func (e *eval) environment(s *Simple, f frame) {
	if f.depth >= MaxDepth || len(s.Env) == 0 || s.Parent != nil && len(s.Parent.Env) == len(s.Env) {
		return
	}
	g := f.inner(s)
	g.stdin, g.piped, g.redirs, g.n, g.env = value{}, false, nil, 0, nil
	for _, a := range s.Env {
		progs, ok := runsValue[a.Name]
		switch {
		case ok && progs == nil && (s.Class() == program.Shell || s.Name == "") && a.Value != "", ok && slices.Contains(progs, s.Name):
			e.walk(strings.TrimLeft(a.Value, "| "), g)
		case (a.Name == "BASH_ENV" || a.Name == "ENV") && s.Class() == program.Shell:
			e.scriptFile(s, a.Value, g)
		}
	}
}

// ownScripts are the files below a folder that the text made, for run-parts.
func (e *eval) ownScripts(dir string) []string {
	var out []string
	dir = path.Clean(dir)
	for p, fl := range e.files {
		if path.Dir(p) == dir && fl.known && fl.s != "" {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// quotedFields cuts text as xargs does: at blanks, but not inside quotes.
func quotedFields(t string) []string {
	var out []string
	var b strings.Builder
	in, open := false, byte(0)
	for i := 0; i < len(t); i++ {
		c := t[i]
		switch {
		case open != 0:
			if c == open {
				open = 0
			} else {
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			open, in = c, true
		case c == '\\' && i+1 < len(t):
			i++
			b.WriteByte(t[i])
			in = true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out = append(out, b.String())
				b.Reset()
			}
			in = false
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

// tclCommands are the commands that Tcl and expect start by exec and spawn, as
// shell text: braces are its quotes.
func tclCommands(src string) []string {
	var out []string
	for _, m := range tclStart.FindAllStringIndex(src, 8) {
		rest, depth := src[m[1]:], 0
		end := len(rest)
	scan:
		for i := range len(rest) {
			switch rest[i] {
			case '{':
				depth++
			case '}':
				depth--
			case ';', '\n', ']':
				if depth <= 0 {
					end = i
					break scan
				}
			}
			if depth < 0 {
				end = i
				break
			}
		}
		out = append(out, tclBraces.ReplaceAllStringFunc(rest[:end], func(t string) string { return quoteAll([]string{t[1 : len(t)-1]}) }))
	}
	return out
}

var (
	tclStart  = regexp.MustCompile(`(?:^|[\s;\[{])(?:exec|spawn)\s+(?:-\w+\s+)*`)
	tclBraces = regexp.MustCompile(`\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}`)
)
