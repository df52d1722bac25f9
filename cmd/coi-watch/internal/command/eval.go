package command

import (
	"slices"
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
	prog    string // canonical program whose bytes these are
}

func text(s string) value { return value{s: s, known: true} }

// file is a file that the text itself made.
type file struct {
	value // value.prog: the program of which it is a copy or link
}

// variable is a shell variable that the text itself set.
type variable struct {
	value
	list  []string // of an array
	given []source // where each comes from
}

// source is where a word comes from.
type source struct {
	from    []*Simple
	decoded bool
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
	scope          int
	aliased        string // the aliases that stand for the text, which they do once
}

// eval walks the syntax tree of one exec.
type eval struct {
	env    Env
	cmd    *Command
	vars   map[string]variable
	files  map[string]*file
	funcs  map[string]*syntax.Stmt
	short  map[string]*syntax.Stmt // what aliases stand for
	unsure map[string]bool         // functions that may be gone again
	fds    map[int]string          // set by exec N<>path
	picked int                     // descriptors that the shell picked a number for
	args   []string
	given  []source // where each of args comes from; nil if nowhere
	arg0   string   // $0, if it is known
	given0 source
	cwd    string
	nodes  int
	served int
	pipes  int
	subs   int
	scopes int
	taint  []*Simple // sources met while expanding the words of one command
	outs   []func(*Simple, []*Simple)
	dyn    bool
	drop   bool // unknown variables are empty
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

// scoped is the frame of commands that may run or not, or run beside others.
func (e *eval) scoped(f frame) frame {
	e.scopes++
	f.scope = e.scopes
	return f
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
	if a.known && a.s == "" && len(a.from) == 0 && a.prog == "" {
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
	out, own := a, false
	for _, s := range b {
		if slices.Contains(out, s) || len(out) >= 64 {
			continue
		}
		if !own {
			out, own = append(make([]*Simple, 0, len(a)+len(b)), a...), true
		}
		out = append(out, s)
	}
	return out
}

func (e *eval) stmt(s *syntax.Stmt, f frame) value {
	if s == nil || !e.spend(f) {
		return value{}
	}
	if s.Background {
		f = e.scoped(f)
		f.bg = true
	}
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
		out := e.stmts(c.Stmts, e.scoped(f))
		e.cwd = saved
		return out
	case *syntax.Block:
		return e.stmts(c.Stmts, f)
	case *syntax.IfClause:
		return e.ifClause(c, f)
	case *syntax.WhileClause:
		f.loop = true
		return join(e.stmts(c.Cond, f), e.stmts(c.Do, e.scoped(f)))
	case *syntax.ForClause:
		f = e.scoped(f)
		f.loop = true
		return e.forClause(c, f)
	case *syntax.CaseClause:
		out := text("")
		for _, it := range c.Items {
			out = join(out, e.stmts(it.Stmts, e.scoped(f)))
		}
		return out
	case *syntax.FuncDecl:
		for _, n := range funcNames(c) {
			e.funcs[n] = c.Body
		}
		f = e.scoped(f)
		f.fn = strings.Join(funcNames(c), " ")
		return e.stmt(c.Body, f)
	case *syntax.DeclClause:
		return e.decl(c, f)
	case *syntax.TimeClause:
		return e.stmt(c.Stmt, f)
	case *syntax.CoprocClause:
		f = e.scoped(f)
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
		out = join(out, join(e.stmts(c.Cond, f), e.stmts(c.Then, e.scoped(f))))
	}
	return out
}

func (e *eval) coproc(c *syntax.CoprocClause, f frame) value {
	before := len(e.cmd.Simples)
	e.stmt(c.Stmt, f)
	name := "COPROC"
	if c.Name != nil {
		name = c.Name.Lit()
	}
	for _, s := range e.cmd.Simples[before:] {
		e.vars[name] = variable{value: value{s: "63", known: true, from: []*Simple{s}}}
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
		return join(e.stmt(c.X, f), e.stmt(c.Y, e.scoped(f)))
	}
	stages := flatten(c)
	e.pipes++
	id, in := e.pipes, f.stdin
	piped := f.piped
	for i, st := range stages {
		g := e.scoped(f)
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
		e.vars[it.Name.Value] = variable{value: value{s: w, known: true, from: src}}
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
	var list []string
	var given []source
	switch {
	case a.Value != nil:
		v.s = e.word(a.Value)
	case a.Array != nil:
		for _, el := range a.Array.Elems {
			if el.Value == nil {
				continue
			}
			words, from := e.element(el.Value)
			list, given = append(list, words...), append(given, from...)
		}
		v.s = strings.Join(list, " ")
	}
	v.from, v.decoded = e.taint, e.dec
	e.taint = merge(saved, e.taint)
	if len(v.s) > MaxText {
		v.s, e.cmd.Cut = v.s[:MaxText], true
	}
	if a.Name != nil {
		old := e.vars[a.Name.Value]
		if a.Append {
			v = join(old.value, v)
			list, given = append(slices.Clip(old.list), list...), append(slices.Clip(old.given), given...)
		}
		if a.Array == nil || len(list) > maxList {
			list, given = nil, nil
		}
		e.vars[a.Name.Value] = variable{v, list, given}
	}
	return v
}

// maxList bounds an array.
const maxList = 512

// element expands one word of an array, with where its fields come from.
func (e *eval) element(w *syntax.Word) ([]string, []source) {
	taint, dec := e.taint, e.dec
	e.taint, e.dec = nil, false
	words := e.fields(w)
	given := make([]source, len(words))
	each := e.listed(w)
	for i := range given {
		given[i] = source{e.taint, e.dec}
		if len(each) == len(words) {
			given[i] = each[i]
		}
	}
	e.taint, e.dec = merge(taint, e.taint), dec || e.dec
	return words, given
}

func (e *eval) beginWords() { e.taint, e.outs, e.dyn, e.dec = nil, nil, false, false }

func (e *eval) finishOuts(s *Simple) {
	outs := e.outs
	e.outs = nil
	for _, fn := range outs {
		fn(s, nil)
	}
}
