package command

import (
	"maps"
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// value is the output of a command, as far as it is known.
type value struct {
	s       string
	known   bool
	decoded bool
	from    []*Simple
}

func text(s string) value { return value{s: s, known: true} }

// file is a file that the text itself made.
type file struct {
	value
	prog string // canonical program of which it is a copy or link
}

// variable is a shell variable that the text itself set.
type variable struct {
	value
}

// frame is what a command inherits from the text around it.
type frame struct {
	stdin          value
	piped          bool // stdin is set
	pipe, pos, n   int
	bg, loop, sub  bool
	remote, nested bool
	root           bool
	decoded        bool
	fn             string
	parent, owner  *Simple
	redirs         []Redir
	env            []Assign
	depth          int
}

// eval walks the syntax tree of one exec.
type eval struct {
	env    Env
	cmd    *Command
	vars   map[string]variable
	files  map[string]*file
	funcs  map[string]*syntax.Stmt
	fds    map[int]string // set by exec N<>path
	args   []string
	cwd    string
	nodes  int
	served int
	pipes  int
	subs   int
	taint  []*Simple // sources met while expanding the words of one command
	outs   []func(*Simple)
	dyn    bool
	dec    bool
	own    *Simple
	disk   bool // the last script text was read, not made by this text
}

func newEval(env Env) *eval {
	if env.Home == "" {
		env.Home = "/home/code"
	}
	if env.CWD == "" {
		env.CWD = "/workspace"
	}
	if env.User == "" {
		env.User = "code"
	}
	return &eval{
		env: env, cmd: &Command{}, vars: map[string]variable{}, files: map[string]*file{},
		funcs: map[string]*syntax.Stmt{}, fds: map[int]string{}, cwd: env.CWD,
	}
}

// spend counts one node and reports whether there is room for it.
func (e *eval) spend(f frame) bool {
	e.nodes++
	if e.nodes > MaxNodes || f.depth > MaxDepth {
		e.cmd.Cut = true
		return false
	}
	return true
}

func (e *eval) stmts(list []*syntax.Stmt, f frame) value {
	out := text("")
	for _, s := range list {
		out = join(out, e.stmt(s, f))
	}
	return out
}

func join(a, b value) value {
	if a.known && a.s == "" && len(a.from) == 0 {
		return b
	}
	v := value{known: a.known && b.known, decoded: a.decoded || b.decoded, from: merge(a.from, b.from)}
	if v.known {
		v.s = a.s + b.s
	}
	return v
}

// merge appends without doubles; source lists stay short.
func merge(a, b []*Simple) []*Simple {
	if len(b) == 0 {
		return a
	}
	out := append([]*Simple(nil), a...)
next:
	for _, s := range b {
		for _, o := range out {
			if o == s {
				continue next
			}
		}
		if len(out) < 64 {
			out = append(out, s)
		}
	}
	return out
}

func (e *eval) stmt(s *syntax.Stmt, f frame) value {
	if s == nil || !e.spend(f) {
		return value{}
	}
	f.bg = f.bg || s.Background
	if s.Cmd == nil {
		return e.call(&syntax.CallExpr{}, s.Redirs, f)
	}
	if c, ok := s.Cmd.(*syntax.CallExpr); ok {
		return e.call(c, s.Redirs, f)
	}
	if len(s.Redirs) > 0 {
		owner := &Simple{}
		redirs, stdin, piped := e.redirs(s.Redirs, owner)
		f.redirs = append(append([]Redir(nil), f.redirs...), redirs...)
		if piped {
			f.stdin, f.piped = stdin, true
		}
		out := e.compound(s.Cmd, f)
		e.store(redirs, out)
		e.finishOuts(owner)
		return out
	}
	return e.compound(s.Cmd, f)
}

func (e *eval) compound(c syntax.Command, f frame) value {
	switch c := c.(type) {
	case *syntax.CallExpr:
		return e.call(c, nil, f)
	case *syntax.BinaryCmd:
		return e.binary(c, f)
	case *syntax.Subshell:
		saved := e.cwd
		out := e.stmts(c.Stmts, f)
		e.cwd = saved
		return out
	case *syntax.Block:
		return e.stmts(c.Stmts, f)
	case *syntax.IfClause:
		return e.ifClause(c, f)
	case *syntax.WhileClause:
		f.loop = true
		return join(e.stmts(c.Cond, f), e.stmts(c.Do, f))
	case *syntax.ForClause:
		f.loop = true
		return e.forClause(c, f)
	case *syntax.CaseClause:
		out := text("")
		for _, it := range c.Items {
			out = join(out, e.stmts(it.Stmts, f))
		}
		return out
	case *syntax.FuncDecl:
		for _, n := range funcNames(c) {
			e.funcs[n] = c.Body
		}
		f.fn = strings.Join(funcNames(c), " ")
		return e.stmt(c.Body, f)
	case *syntax.DeclClause:
		return e.decl(c, f)
	case *syntax.TimeClause:
		return e.stmt(c.Stmt, f)
	case *syntax.CoprocClause:
		f.bg = true
		return e.coproc(c, f)
	}
	return text("")
}

func funcNames(c *syntax.FuncDecl) []string {
	if c.Name != nil {
		return []string{c.Name.Value}
	}
	var out []string
	for _, n := range c.Names {
		out = append(out, n.Value)
	}
	return out
}

func (e *eval) ifClause(c *syntax.IfClause, f frame) value {
	out := text("")
	for ; c != nil; c = c.Else {
		out = join(out, join(e.stmts(c.Cond, f), e.stmts(c.Then, f)))
	}
	return out
}

func (e *eval) coproc(c *syntax.CoprocClause, f frame) value {
	before := len(e.cmd.Simples)
	e.stmt(c.Stmt, f)
	for _, s := range e.cmd.Simples[before:] {
		e.vars["COPROC"] = variable{value{s: "63", known: true, from: []*Simple{s}}}
		e.fds[63] = "coproc:" + s.Name
		if s.Class() == program.Relay || devNet(s) != "" {
			e.fds[63] = "coproc-net"
		}
	}
	return value{}
}

// devNet is the /dev/tcp path that one of a command's descriptors leads to.
func devNet(s *Simple) string {
	for _, p := range s.FDs {
		if DevNet(p) {
			return p
		}
	}
	return ""
}

// DevNet reports whether a redirection target is the shell's own network path.
func DevNet(p string) bool {
	return strings.HasPrefix(p, "/dev/tcp/") || strings.HasPrefix(p, "/dev/udp/") || p == "coproc-net"
}

func (e *eval) binary(c *syntax.BinaryCmd, f frame) value {
	if c.Op != syntax.Pipe && c.Op != syntax.PipeAll {
		return join(e.stmt(c.X, f), e.stmt(c.Y, f))
	}
	stages := flatten(c)
	e.pipes++
	id, in := e.pipes, f.stdin
	piped := f.piped
	for i, st := range stages {
		g := f
		g.stdin, g.piped, g.pipe, g.pos, g.n = in, piped, id, i, len(stages)
		in, piped = e.stmt(st, g), true
	}
	return in
}

func flatten(c *syntax.BinaryCmd) []*syntax.Stmt {
	var out []*syntax.Stmt
	for _, s := range []*syntax.Stmt{c.X, c.Y} {
		if b, ok := s.Cmd.(*syntax.BinaryCmd); ok && (b.Op == syntax.Pipe || b.Op == syntax.PipeAll) && len(s.Redirs) == 0 {
			out = append(out, flatten(b)...)
			continue
		}
		out = append(out, s)
	}
	return out
}

// forClause runs the body once for each of at most eight words, so that what
// is read from the list reaches the commands that use it.
func (e *eval) forClause(c *syntax.ForClause, f frame) value {
	it, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		return e.stmts(c.Do, f)
	}
	var words []string
	e.beginWords()
	for _, w := range it.Items {
		words = append(words, e.fields(w)...)
	}
	src := e.taint
	out := text("")
	if len(words) == 0 {
		words = []string{""}
	}
	for _, w := range words[:min(8, len(words))] {
		e.vars[it.Name.Value] = variable{value{s: w, known: true, from: src}}
		out = join(out, e.stmts(c.Do, f))
	}
	return out
}

// decl handles export, declare, local, readonly and typeset.
func (e *eval) decl(c *syntax.DeclClause, f frame) value {
	e.beginWords()
	argv := []string{c.Variant.Value}
	for _, a := range c.Args {
		if a.Name == nil {
			if a.Value != nil {
				argv = append(argv, e.word(a.Value))
			}
			continue
		}
		if a.Naked {
			argv = append(argv, a.Name.Value)
			continue
		}
		v := e.assign(a)
		argv = append(argv, a.Name.Value+"="+v.s)
	}
	return e.simple(argv, nil, value{}, f)
}

func (e *eval) assign(a *syntax.Assign) value {
	saved := e.taint
	e.taint = nil
	v := value{known: true}
	switch {
	case a.Value != nil:
		v.s = e.word(a.Value)
	case a.Array != nil:
		var parts []string
		for _, el := range a.Array.Elems {
			if el.Value != nil {
				parts = append(parts, e.word(el.Value))
			}
		}
		v.s = strings.Join(parts, " ")
	}
	v.from, v.decoded = e.taint, e.dec
	e.taint = merge(saved, e.taint)
	if len(v.s) > MaxText {
		v.s, e.cmd.Cut = v.s[:MaxText], true
	}
	if a.Name != nil {
		if a.Append {
			v = join(e.vars[a.Name.Value].value, v)
		}
		e.vars[a.Name.Value] = variable{v}
	}
	return v
}

func (e *eval) beginWords() { e.taint, e.outs, e.dyn, e.dec = nil, nil, false, false }

func (e *eval) finishOuts(s *Simple) {
	outs := e.outs
	e.outs = nil
	for _, fn := range outs {
		fn(s)
	}
}

// call is one simple command of the text.
func (e *eval) call(c *syntax.CallExpr, rd []*syntax.Redirect, f frame) value {
	e.beginWords()
	owner := &Simple{}
	savedOwn := e.own
	e.own = owner
	env := append([]Assign(nil), f.env...)
	for _, a := range c.Assigns {
		v := e.assign(a)
		if a.Name != nil {
			env = append(env, Assign{a.Name.Value, v.s})
		}
	}
	var argv []string
	var words [][]*Simple
	dynamic, decName := false, false
	for i, w := range c.Args {
		e.dyn = false
		before := e.taint
		e.taint = nil
		fs := e.fields(w)
		for range fs {
			words = append(words, e.taint)
		}
		e.taint = merge(before, e.taint)
		if i == 0 {
			dynamic, decName = e.dyn, e.dec
		}
		argv = append(argv, fs...)
	}
	from := e.taint
	if len(c.Args) > 0 && dynamic && len(argv) > 0 && !strings.Contains(argv[0], "$") {
		dynamic = false
	}
	redirs, stdin, piped := e.redirs(rd, owner)
	from = merge(from, e.taint)
	e.own = savedOwn
	f.redirs = append(append([]Redir(nil), f.redirs...), redirs...)
	if piped {
		f.stdin, f.piped = stdin, true
	}
	f.env = env
	if len(argv) == 0 {
		if notable(env) || len(redirs) > 0 {
			*owner = Simple{}
			e.fill(owner, nil, f)
			e.cmd.Simples = append(e.cmd.Simples, owner)
			e.store(redirs, text(""))
		}
		return value{known: true, from: from}
	}
	*owner = Simple{Dynamic: dynamic, From: from, wordFrom: words, wordsDecoded: e.dec, DecodedName: decName}
	outs := e.outs
	e.outs = nil
	out := e.simple(argv, owner, value{}, f)
	for _, fn := range outs {
		fn(owner)
	}
	e.store(redirs, out)
	return out
}

// simple records a command and follows what it hands on. s may be nil.
func (e *eval) simple(argv []string, s *Simple, _ value, f frame) value {
	if !e.spend(f) {
		return value{}
	}
	if s == nil {
		s = &Simple{}
	}
	e.fill(s, argv, f)
	e.cmd.Simples = append(e.cmd.Simples, s)
	s.Len = max(s.Len, 0)
	out := e.follow(s, f)
	out.from = merge(merge(out.from, []*Simple{s}), s.Inputs())
	out.decoded = out.decoded || f.decoded
	return out
}

func (e *eval) fill(s *Simple, argv []string, f frame) {
	s.Argv, s.CWD = argv, e.cwd
	s.Redirs, s.Env = f.redirs, f.env
	s.Pipe, s.Pos, s.Len = f.pipe, f.pos, f.n
	s.Background, s.Loop, s.Subst, s.Func = f.bg, f.loop, f.sub, f.fn
	s.Remote, s.Nested, s.Root = f.remote, f.nested, f.root
	s.Decoded = s.Decoded || f.decoded
	s.Parent, s.Owner = f.parent, f.owner
	if f.piped {
		s.Stdin = f.stdin.from
		s.Feed, s.Fed = f.stdin.s, f.stdin.known
		s.Decoded = s.Decoded || f.stdin.decoded
	}
	if len(argv) > 0 {
		s.Prog = argv[0]
		e.identify(s)
	}
	s.FDs = e.wire(s, f)
}

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
		if (base == "busybox" || base == "toybox" || e.alias(p) == "busybox") && len(s.Argv) > 1 && !strings.HasPrefix(s.Argv[1], "-") {
			s.Argv, s.Prog = s.Argv[1:], s.Argv[1]
			continue
		}
		break
	}
	s.Name = program.Canonical(s.Prog)
	if a := e.alias(s.Prog); a != "" && a != s.Name {
		s.Name, s.Renamed = a, true
	}
	if !program.Known(s.Name) {
		if g := guess(s); g != "" {
			s.Name, s.Renamed = g, true
		}
	}
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
