package command

import (
	"io"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// environ lets the expander see the variables of the text.
type environ struct{ e *eval }

// Get gives a variable; one that is not known expands to its own name, so that
// "$HOST" stays readable.
func (v environ) Get(name string) expand.Variable {
	e := v.e
	set := func(s string) expand.Variable {
		e.served += len(s)
		if e.served > maxServed {
			e.cmd.Cut = true
			s = ""
		}
		return expand.Variable{Set: true, Kind: expand.String, Str: s}
	}
	if x, ok := e.vars[name]; ok {
		e.taint = merge(e.taint, x.from)
		e.dec = e.dec || x.decoded
		if x.list != nil {
			return e.list(x.list)
		}
		return set(x.s)
	}
	switch name {
	case "IFS":
		return set(" \t\n")
	case "HOME":
		return set(e.env.Home)
	case "USER", "LOGNAME":
		return set(e.env.User)
	case "PWD":
		return set(e.cwd)
	case "SHELL", "BASH":
		return set("/bin/bash")
	case "UID", "EUID":
		return set("1000")
	case "PATH":
		return set("/usr/local/bin:/usr/bin:/bin")
	case "HISTFILE":
		return set(e.env.Home + "/.bash_history")
	case "TMPDIR":
		return set("/tmp")
	case "#":
		return set(strconv.Itoa(len(e.args)))
	case "@", "*":
		for _, g := range e.given {
			e.met(g)
		}
		return e.list(e.args) // each a word of its own in "$@"
	case "0":
		if e.arg0 != "" {
			e.met(e.given0)
			return set(e.arg0)
		}
		return set("0")
	case "?", "-", "!", "$", "BASHPID":
		return set("0")
	case "PPID": // another process
		return set("1")
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n > 0 && n <= len(e.args) {
			if n <= len(e.given) {
				e.met(e.given[n-1])
			}
			return set(e.args[n-1])
		}
		return set("")
	}
	if strings.HasPrefix(name, "HOME ") {
		if u := name[5:]; u == "root" {
			return set("/root")
		}
		return set("/home/" + name[5:])
	}
	e.dyn = true
	if e.drop {
		return set("")
	}
	return set("$" + name)
}

// list is the value of an array, as long as there is room.
func (e *eval) list(words []string) expand.Variable {
	for _, w := range words {
		e.served += len(w) + 16 // a word costs more than its bytes
	}
	if e.served > maxServed {
		e.cmd.Cut = true
		words = nil
	}
	return expand.Variable{Set: true, Kind: expand.Indexed, List: words}
}

// Each is part of the interface; nothing iterates.
func (v environ) Each(func(string, expand.Variable) bool) {}

// Set keeps what ${x:=y} and arithmetic assign.
func (v environ) Set(name string, vr expand.Variable) error {
	v.e.vars[name] = variable{value: text(vr.Str)}
	return nil
}

func (e *eval) config() *expand.Config {
	return &expand.Config{
		Env:       environ{e},
		CmdSubst:  func(w io.Writer, cs *syntax.CmdSubst) error { return e.cmdSubst(w, cs) },
		ProcSubst: func(ps *syntax.ProcSubst) (string, error) { return e.procSubst(ps) },
	}
}

// fields expands one word to its fields.
func (e *eval) fields(w *syntax.Word) []string {
	if s, ok := plainWord(w); ok {
		return []string{s}
	}
	e.defaults(w)
	if risky(w) {
		return []string{e.literal(w)}
	}
	fs, err := expand.Fields(e.config(), w)
	if err != nil {
		return []string{e.raw(w)}
	}
	return e.bound(fs)
}

// word expands one word to one string.
func (e *eval) word(w *syntax.Word) string {
	if s, ok := plainWord(w); ok {
		return s
	}
	w = unescaped(w)
	e.defaults(w)
	return e.literal(w)
}

// document expands the body of a here-document; quoted ones are taken as they are.
func (e *eval) document(r *syntax.Redirect) string {
	for _, p := range r.Word.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok || strings.Contains(l.Value, "\\") {
			return e.literal(r.Hdoc)
		}
	}
	e.defaults(r.Hdoc)
	s, err := expand.Document(e.config(), r.Hdoc)
	if err != nil {
		return e.raw(r.Hdoc)
	}
	return e.bound([]string{s})[0]
}

// unescaped is the word with its backslashes taken away outside of quotes,
// which the expander does for fields only.
func unescaped(w *syntax.Word) *syntax.Word {
	var parts []syntax.WordPart
	for i, p := range w.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok || !strings.Contains(l.Value, "\\") {
			if parts != nil {
				parts = append(parts, p)
			}
			continue
		}
		if parts == nil {
			parts = append(parts, w.Parts[:i]...)
		}
		var b strings.Builder
		for k := 0; k < len(l.Value); k++ {
			if l.Value[k] == '\\' && k+1 < len(l.Value) {
				k++
				if l.Value[k] == '\n' {
					continue
				}
			}
			b.WriteByte(l.Value[k])
		}
		parts = append(parts, &syntax.SglQuoted{Value: b.String()})
	}
	if parts == nil {
		return w
	}
	if l, ok := w.Parts[0].(*syntax.Lit); ok && strings.HasPrefix(l.Value, "~") {
		return w // its meaning is that it is not quoted
	}
	return &syntax.Word{Parts: parts}
}

// plainWord is the value of a word that needs no expansion, which most are.
func plainWord(w *syntax.Word) (string, bool) {
	if len(w.Parts) != 1 {
		return "", false
	}
	switch p := w.Parts[0].(type) {
	case *syntax.Lit:
		return p.Value, !strings.ContainsAny(p.Value, "\\{~")
	case *syntax.SglQuoted:
		return p.Value, !p.Dollar
	}
	return "", false
}

func (e *eval) literal(w *syntax.Word) string {
	s, err := expand.Literal(e.config(), w)
	if err != nil {
		return e.raw(w)
	}
	return e.bound([]string{s})[0]
}

func (e *eval) bound(fs []string) []string {
	n := 0
	for i, f := range fs {
		n += len(f)
		if n > MaxText || i > 512 {
			e.cmd.Cut = true
			return fs[:max(i, 1)]
		}
	}
	return fs
}

// raw prints a word as it was written.
func (e *eval) raw(w *syntax.Word) string {
	var b strings.Builder
	if err := syntax.NewPrinter().Print(&b, w); err != nil {
		return ""
	}
	return b.String()
}

// risky reports words whose brace expansion could explode.
func risky(w *syntax.Word) bool {
	braces := 0
	for _, p := range w.Parts {
		if l, ok := p.(*syntax.Lit); ok {
			braces += strings.Count(l.Value, "{")
			if strings.Contains(l.Value, "..") && strings.Contains(l.Value, "{") {
				return true
			}
		}
	}
	return braces > 2
}

// defaults makes ${x:-y} take its default when x is not known.
func (e *eval) defaults(w *syntax.Word) {
	syntax.Walk(w, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if !ok || p.Param == nil {
			return true
		}
		_, known := e.vars[p.Param.Value]
		if p.Exp != nil && !known {
			switch p.Exp.Op {
			case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
				e.vars[p.Param.Value] = variable{value: text("")}
			}
		}
		return true
	})
}

// cmdSubst evaluates $(...) and writes its output as far as it is known.
func (e *eval) cmdSubst(w io.Writer, cs *syntax.CmdSubst) error {
	out := e.substitute(cs.Stmts)
	s := strings.TrimRight(out.s, "\n")
	if !out.known {
		e.dyn = true
		s = "$()"
	}
	e.served += len(s)
	if e.served > maxServed {
		e.cmd.Cut = true
		return nil
	}
	_, err := io.WriteString(w, s)
	return err
}

// substitute runs commands inside a word, keeping the state of the word.
func (e *eval) substitute(list []*syntax.Stmt) value {
	taint, outs, dyn, dec, own := e.taint, e.outs, e.dyn, e.dec, e.own
	e.subs++
	if e.subs > 256 {
		e.cmd.Cut = true
		return value{}
	}
	saved := e.cwd
	out := e.stmts(list, e.scoped(frame{sub: true, owner: own, depth: e.depthOf(own) + 1}))
	e.cwd = saved
	e.taint, e.outs, e.dyn, e.dec, e.own = merge(taint, out.from), outs, dyn, dec || out.decoded, own
	return out
}

func (e *eval) depthOf(s *Simple) int {
	n := 0
	for ; s != nil && n < MaxDepth; n++ {
		if s.Owner != nil {
			s = s.Owner
		} else {
			s = s.Parent
		}
	}
	return n
}

// procSubst evaluates <(...) to a file of the text, and runs >(...) with the
// output of the command it stands for.
func (e *eval) procSubst(ps *syntax.ProcSubst) (string, error) {
	e.subs++
	p := "/dev/fd/p" + strconv.Itoa(e.subs)
	if ps.Op == syntax.CmdOut {
		e.outs = append(e.outs, func(s *Simple, more []*Simple) {
			e.stmts(ps.Stmts, e.scoped(frame{sub: true, owner: s, stdin: value{from: merge(append(s.Inputs(), s), more)}, piped: true, depth: e.depthOf(s) + 1}))
		})
		return p, nil
	}
	e.files[p] = &file{value: e.substitute(ps.Stmts)}
	return p, nil
}

// target is the word of a redirection, which may be written apart as others are.
func (e *eval) target(w *syntax.Word) string {
	if pieced(w) {
		saved := e.drop
		fs := e.apart(w, false)
		e.drop = saved
		if len(fs) == 1 {
			return fs[0]
		}
	}
	return e.word(w)
}

// redirs folds redirections and finds what they put on standard input.
func (e *eval) redirs(list []*syntax.Redirect, owner *Simple) (out []Redir, stdin value, piped bool) {
	saved := e.own
	e.own = owner
	defer func() { e.own = saved }()
	for _, r := range list {
		x := Redir{Op: redirOp(r.Op), FD: -1}
		if r.N != nil {
			if n, err := strconv.Atoi(r.N.Value); err == nil {
				x.FD = n
			} else if name, ok := strings.CutPrefix(strings.TrimSuffix(r.N.Value, "}"), "{"); ok {
				x.FD = e.named(name)
			}
		}
		if x.FD < 0 {
			x.FD = 1
			if strings.HasPrefix(x.Op, "<") {
				x.FD = 0
			}
		}
		switch {
		case r.Hdoc != nil:
			x.Here = e.document(r)
			stdin, piped = value{s: x.Here, known: true, from: e.taint, decoded: e.dec}, true
		case r.Op == syntax.WordHdoc:
			x.Here = e.word(r.Word) + "\n"
			stdin, piped = value{s: x.Here, known: true, from: e.taint, decoded: e.dec}, true
		case r.Word != nil:
			x.Path = e.target(r.Word)
			if x.Op != "<&" && x.Op != ">&" || !isDigits(x.Path) {
				if !strings.HasPrefix(x.Path, "/dev/") && x.Path != "-" {
					x.Path = e.abs(x.Path)
				}
			}
			if x.FD == 0 && x.Op == "<" {
				if f := e.files[x.Path]; f != nil {
					stdin, piped = f.value, true
				} else if systemFolder(x.Path) {
					stdin, piped = value{prog: program.Canonical(x.Path)}, true
				} else {
					stdin, piped = value{}, true
				}
			}
		}
		out = append(out, x)
	}
	return out, stdin, piped
}

// named is the descriptor that the shell picks for {name}< and the like, from 10
// on; one that has the name keeps its number.
func (e *eval) named(name string) int {
	if n, err := strconv.Atoi(e.vars[name].s); err == nil && n >= 10 {
		return n
	}
	e.picked++
	n := 9 + e.picked
	e.vars[name] = variable{value: text(strconv.Itoa(n))}
	return n
}

func isDigits(s string) bool {
	for _, c := range strings.TrimSuffix(s, "-") {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

func redirOp(op syntax.RedirOperator) string {
	switch op {
	case syntax.RdrClob:
		return ">"
	case syntax.DashHdoc:
		return "<<"
	case syntax.AppAll:
		return "&>>"
	}
	return op.String()
}

// store keeps what a command wrote into files.
func (e *eval) store(redirs []Redir, out value) {
	for _, r := range redirs {
		if r.FD != 1 && r.Op != "&>" && r.Op != "&>>" {
			continue
		}
		if !strings.Contains(r.Op, ">") || r.Op == ">&" && isDigits(r.Path) || strings.HasPrefix(r.Path, "/dev/") {
			continue
		}
		e.write(r.Path, out, r.Op == ">>" || r.Op == "&>>")
	}
}

func (e *eval) write(p string, v value, add bool) {
	if len(e.files) > 256 {
		e.cmd.Cut = true
		return
	}
	if old := e.files[p]; old != nil && add {
		v = join(old.value, v)
	}
	if len(v.s) > MaxText {
		v.s, e.cmd.Cut = v.s[:MaxText], true
	}
	e.files[p] = &file{value: v}
}
