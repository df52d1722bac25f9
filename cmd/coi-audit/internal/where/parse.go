package where

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/when"
)

// Error is a bad expression: what is wrong, and at which byte.
type Error struct {
	Expr    string
	At      int
	Problem string
}

func (e *Error) Error() string { return e.Problem }

// Parse reads an expression. now is what relative times such as 2h count from.
// An error is an *Error.
func Parse(s string, now time.Time) (*Expr, error) {
	p := &parser{s: s, now: now}
	e := &Expr{any: [][]term{nil}}
	for {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		last := len(e.any) - 1
		e.any[last] = append(e.any[last], t)
		p.space()
		switch {
		case p.i == len(s):
			return e, nil
		case p.eat("&&"):
		case p.eat("||"):
			e.any = append(e.any, nil)
		default:
			return nil, p.fail(p.i, "expected && or ||")
		}
	}
}

type parser struct {
	s   string
	i   int
	now time.Time
}

func (p *parser) fail(at int, format string, a ...any) *Error {
	return &Error{Expr: p.s, At: at, Problem: fmt.Sprintf(format, a...)}
}

func (p *parser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) eat(word string) bool {
	if strings.HasPrefix(p.s[p.i:], word) {
		p.i += len(word)
		return true
	}
	return false
}

// ops in an order that tries longer ones first.
var ops = []struct {
	text string
	op   op
}{{"==", equal}, {"!=", unequal}, {"!~", matchesNot}, {"<=", lessEqual}, {">=", greaterEqual}, {"<", less}, {">", greater}, {"~", matches}}

func (p *parser) term() (term, error) {
	p.space()
	if p.eat("!") {
		p.space()
		path, err := p.path()
		return newTerm(path, absent), err
	}
	path, err := p.path()
	if err != nil {
		return term{}, err
	}
	p.space()
	for _, o := range ops {
		if !strings.HasPrefix(p.s[p.i:], o.text) {
			continue
		}
		p.i += len(o.text)
		return p.comparison(newTerm(path, o.op))
	}
	return newTerm(path, present), nil
}

func newTerm(path string, o op) term {
	t := term{path: path, op: o}
	first, _, _ := strings.Cut(path, ".")
	if first != "" && strings.Trim(first, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		t.key = []byte(`"` + first + `":`)
	}
	return t
}

func (p *parser) comparison(t term) (term, error) {
	p.space()
	at := p.i
	text, quoted, err := p.value()
	if err != nil {
		return t, err
	}
	if t.op == matches || t.op == matchesNot {
		if t.re, err = regexp.Compile(text); err != nil {
			return t, p.fail(at, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		return t, nil
	}
	t.value = newValue(text, quoted, func(s string) (time.Time, error) { return when.Parse(s, p.now) })
	return t, nil
}

// path reads up to a space or an operator. What stands in brackets or after a
// backslash belongs to the path.
func (p *parser) path() (string, error) {
	from := p.i
	depth := 0
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
		case c == '"' && depth > 0:
			end := closing(p.s, p.i)
			if end < 0 {
				return "", p.fail(p.i, "text without an end")
			}
			p.i = end
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			if depth == 0 {
				return "", p.fail(p.i, "no bracket to close")
			}
			depth--
		case depth == 0 && (strings.IndexByte(" \t<>~=\"'", c) >= 0 || c == '!' || strings.HasPrefix(p.s[p.i:], "&&") || strings.HasPrefix(p.s[p.i:], "||")):
			return p.pathEnd(from)
		}
		p.i++
	}
	if depth > 0 {
		return "", p.fail(len(p.s), "bracket without an end")
	}
	return p.pathEnd(from)
}

func (p *parser) pathEnd(from int) (string, error) {
	if p.i == from {
		return "", p.fail(p.i, "expected a field")
	}
	return p.s[from:p.i], nil
}

// closing is the index of the quote that ends the text starting at i.
func closing(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case s[i]:
			return j
		}
	}
	return -1
}

// value reads a word or a quoted text. In quotes a backslash stands before a
// quote or a backslash only; elsewhere it is itself, as regular expressions
// need it.
func (p *parser) value() (text string, quoted bool, err error) {
	if p.i == len(p.s) {
		return "", false, p.fail(p.i, "expected a value")
	}
	if q := p.s[p.i]; q == '"' || q == '\'' {
		end := closing(p.s, p.i)
		if end < 0 {
			return "", false, p.fail(p.i, "text without an end")
		}
		text = p.s[p.i+1 : end]
		p.i = end + 1
		return strings.ReplaceAll(text, `\`+string(q), string(q)), true, nil
	}
	from := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t", p.s[p.i]) < 0 && !strings.HasPrefix(p.s[p.i:], "&&") && !strings.HasPrefix(p.s[p.i:], "||") {
		p.i++
	}
	if p.i == from {
		return "", false, p.fail(p.i, "expected a value")
	}
	return p.s[from:p.i], false, nil
}
