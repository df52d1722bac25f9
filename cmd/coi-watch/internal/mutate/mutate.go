// Package mutate writes a command line differently without changing what it
// does, as somebody would who wants to get past a matcher of words. It is for
// scores and tests; nothing it returns is ever run.
package mutate

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Mutation is one way to write a line. Do returns "" when it does not apply to
// the line.
type Mutation struct {
	Name string
	// Decodes: the new form is itself a finding by promise (text from a decoder
	// goes into a shell), so that honest lines are no test of it.
	Decodes bool
	Do      func(line string) string
}

// All are the mutations of the hit-rate promise, in the order of the table.
func All() []Mutation {
	out := append(renames(), quotes()...)
	out = append(out, encodings()...)
	return append(out, scripts()...)
}

// Parses reports lines that bash can read.
func Parses(line string) bool {
	_, err := parse(line)
	return err == nil
}

func parse(line string) (*syntax.File, error) {
	return syntax.NewParser().Parse(strings.NewReader(line), "")
}

// builtins run in the shell itself: there is no file to rename.
var builtins = strings.Fields(`. : [ [[ alias bg bind break builtin caller cd command compgen complete compopt continue coproc declare dirs disown echo
enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return
set shift shopt source suspend test times trap true type typeset ulimit umask unalias unset wait`)

// span is a piece of the line: a plain word, its offsets, and whether it names
// the program of a command.
type span struct {
	from, to int
	text     string
	program  bool
}

// words finds the plain words of a line: no quotes, no expansions, nothing that
// the shell would read twice.
func words(line string) []span {
	f, err := parse(line)
	if err != nil {
		return nil
	}
	var out []span
	add := func(w *syntax.Word, program bool) {
		if w == nil || len(w.Parts) != 1 {
			return
		}
		lit, ok := w.Parts[0].(*syntax.Lit)
		if !ok || !plain(lit.Value) {
			return
		}
		s := span{int(lit.Pos().Offset()), int(lit.End().Offset()), lit.Value, program}
		if s.to <= len(line) && line[s.from:s.to] == s.text {
			out = append(out, s)
		}
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			for i, w := range n.Args {
				add(w, i == 0)
			}
		case *syntax.Redirect:
			if n.Hdoc == nil && n.Op != syntax.DplIn && n.Op != syntax.DplOut {
				add(n.Word, false)
			}
		}
		return true
	})
	return ordered(out)
}

// ordered sorts spans by place and drops those inside others.
func ordered(in []span) []span {
	for i := 1; i < len(in); i++ {
		for k := i; k > 0 && in[k].from < in[k-1].from; k-- {
			in[k], in[k-1] = in[k-1], in[k]
		}
	}
	out := in[:0]
	for _, s := range in {
		if len(out) == 0 || s.from >= out[len(out)-1].to {
			out = append(out, s)
		}
	}
	return out
}

func plain(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-", c) {
			return false
		}
	}
	return s != ""
}

// replace puts with(word) in the place of every span that with knows.
func replace(line string, list []span, with func(span) string) string {
	var b strings.Builder
	at, n := 0, 0
	for _, s := range list {
		t := with(s)
		if t == "" {
			continue
		}
		b.WriteString(line[at:s.from])
		b.WriteString(t)
		at = s.to
		n++
	}
	if n == 0 {
		return ""
	}
	b.WriteString(line[at:])
	return b.String()
}

// programs are the spans that name a program with a file of its own.
func programs(line string) []span {
	var out []span
	for _, s := range words(line) {
		if s.program && !strings.ContainsAny(s.text, "/:") && s.text[0] != '-' && !builtin(s.text) {
			out = append(out, s)
		}
	}
	return out
}

func builtin(name string) bool { return slices.Contains(builtins, name) }

// quoted is s as one word of the shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
