package command

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// call is one simple command of the text.
func (e *eval) call(c *syntax.CallExpr, rd []*syntax.Redirect, f frame) value {
	e.beginWords()
	owner := &Simple{}
	savedOwn, dropped := e.own, e.drop
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
	var decs []bool
	dynamic, decName := false, false
	for i, w := range c.Args {
		e.dyn = false
		before, decoded := e.taint, e.dec
		e.taint, e.dec = nil, false
		fs := e.apart(w, i == 0)
		each := e.listed(w)
		for k := range fs {
			from, dec := e.taint, e.dec
			if len(each) == len(fs) {
				from, dec = each[k].from, each[k].decoded
			}
			if dec && decs == nil {
				decs = make([]bool, len(words), len(words)+len(fs))
			}
			words = append(words, from)
			if decs != nil {
				decs = append(decs, dec)
			}
		}
		e.taint, e.dec = merge(before, e.taint), decoded || e.dec
		if i == 0 {
			dynamic, decName = e.dyn, decoded || len(decs) > 0 && decs[0]
		}
		argv = append(argv, fs...)
	}
	from := e.taint
	if len(c.Args) > 0 && dynamic && len(argv) > 0 && !strings.Contains(argv[0], "$") {
		dynamic = false
	}
	redirs, stdin, piped := e.redirs(rd, owner)
	from = merge(from, e.taint)
	e.own, e.drop = savedOwn, dropped
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
	*owner = Simple{Dynamic: dynamic, From: from, wordFrom: words, wordDec: decs, wordsDecoded: e.dec, DecodedName: decName}
	outs := e.outs
	e.outs = nil
	out := e.simple(argv, owner, value{}, f)
	for _, fn := range outs {
		fn(owner, out.from)
	}
	e.store(redirs, out)
	return out
}

// listed is where each word comes from of "$@" or "${array[@]}", which are each word
// as it was given; nil for all others.
func (e *eval) listed(w *syntax.Word) []source {
	if len(w.Parts) != 1 {
		return nil
	}
	q, ok := w.Parts[0].(*syntax.DblQuoted)
	if !ok || len(q.Parts) != 1 {
		return nil
	}
	p, ok := q.Parts[0].(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Exp != nil || p.Slice != nil || p.Repl != nil || p.Length {
		return nil
	}
	if p.Index == nil {
		if p.Param.Value == "@" {
			return e.given
		}
		return nil
	}
	if at, ok := p.Index.(*syntax.Word); ok && at.Lit() == "@" {
		return e.vars[p.Param.Value].given
	}
	return nil
}

// met notes where a word comes from.
func (e *eval) met(g source) {
	e.taint = merge(e.taint, g.from)
	e.dec = e.dec || g.decoded
}

// hand makes the words of s from n on the arguments of what it runs, with where
// they come from, and returns what gives the old ones back.
func (e *eval) hand(s *Simple, n int) (restore func()) {
	args, given := e.args, e.given
	e.args, e.given = s.Argv[n:], nil
	if len(s.From) > 0 || s.wordsDecoded {
		for i := n; i < len(s.Argv); i++ {
			g := source{from: s.Sources(i), decoded: s.wordsDecoded}
			if k := i + len(s.wordDec) - len(s.Argv); k >= 0 && len(s.wordDec) > 0 {
				g.decoded = s.wordDec[k]
			}
			e.given = append(e.given, g)
		}
	}
	return func() { e.args, e.given = args, given }
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
	s.Scope = f.scope
	s.Remote, s.Nested, s.Root = f.remote, f.nested, f.root
	s.Decoded = s.Decoded || f.decoded
	s.Parent, s.Owner = f.parent, f.owner
	if f.piped {
		s.Stdin = f.stdin.from
		s.Feed, s.Fed, s.feedProg = f.stdin.s, f.stdin.known, f.stdin.prog
		s.Decoded = s.Decoded || f.stdin.decoded
	}
	if len(argv) > 0 {
		s.Prog = argv[0]
		e.identify(s)
	}
	s.FDs = e.wire(s, f)
}
