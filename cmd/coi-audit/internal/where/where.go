// Package where is the expression of coi audit --where: comparisons of fields
// of a JSON line, joined by && and ||.
//
//	EXPR = TERM { ("&&" | "||") TERM }    && binds tighter, no parentheses
//	TERM = PATH OP VALUE | PATH | "!" PATH
//	OP   = "==" "!=" "<" "<=" ">" ">=" "~" "!~"
//
// PATH is a path of gjson, VALUE a number, true, false, null, a word or a text
// in quotes. Comparing a missing field is false, with != too.
package where

import (
	"bytes"
	"cmp"
	"regexp"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// Expr is a parsed expression.
type Expr struct {
	any [][]term // one of the lists must hold as a whole
}

// Match reports whether a JSON object satisfies the expression.
func (e *Expr) Match(line []byte) bool { return e.match(line, false) }

// MatchOwn is Match for a line that our own encoder wrote: its keys hold no
// escapes, so that most lines are turned down by a search for the key.
func (e *Expr) MatchOwn(line []byte) bool { return e.match(line, true) }

func (e *Expr) match(line []byte, own bool) bool {
	for _, all := range e.any {
		ok := true
		for i := range all {
			if !all[i].match(line, own) {
				ok = false
				break
			}
		}
		if ok {
			return true
		}
	}
	return false
}

type op int

const (
	present op = iota
	absent
	equal
	unequal
	less
	lessEqual
	greater
	greaterEqual
	matches
	matchesNot
)

type term struct {
	path  string
	key   []byte // first field of path in quotes with its colon; nil if it is no plain word
	op    op
	value value
	re    *regexp.Regexp
}

type kind int

const (
	word kind = iota
	number
	boolean
	null
)

type value struct {
	kind   kind
	text   string
	number float64
	time   time.Time
	isTime bool
}

func (t *term) match(line []byte, own bool) bool {
	if own && t.key != nil && !bytes.Contains(line, t.key) {
		return t.op == absent
	}
	f := gjson.GetBytes(line, t.path)
	truth := f.Exists() && f.Type != gjson.Null && f.Type != gjson.False
	switch t.op {
	case present:
		return truth
	case absent:
		return !truth
	case matches:
		return f.Exists() && t.re.MatchString(f.String())
	case matchesNot:
		return f.Exists() && !t.re.MatchString(f.String())
	}
	if !f.Exists() {
		return false
	}
	c, ordered := t.value.compare(f)
	switch t.op {
	case equal:
		return c == 0
	case unequal:
		return c != 0
	case less:
		return ordered && c < 0
	case lessEqual:
		return ordered && c <= 0
	case greater:
		return ordered && c > 0
	default:
		return ordered && c >= 0
	}
}

// compare orders a field against the value: numbers as numbers, times as
// times, the rest by its bytes. null and booleans have no order.
func (v *value) compare(f gjson.Result) (c int, ordered bool) {
	switch {
	case v.kind == null || f.Type == gjson.Null:
		return unequalUnless(v.kind == null && f.Type == gjson.Null), false
	case f.Type == gjson.True || f.Type == gjson.False:
		return unequalUnless(f.Raw == v.text), false
	case f.Type == gjson.Number && v.kind == number:
		return cmp.Compare(f.Num, v.number), true
	case v.isTime && f.Type == gjson.String:
		if t, err := time.Parse(time.RFC3339Nano, f.Str); err == nil {
			return t.Compare(v.time), true
		}
	}
	return cmp.Compare(f.String(), v.text), true
}

func unequalUnless(equal bool) int {
	if equal {
		return 0
	}
	return 1
}

// newValue reads an unquoted or quoted value.
func newValue(text string, quoted bool, at func(string) (time.Time, error)) value {
	v := value{text: text}
	if !quoted {
		switch text {
		case "true", "false":
			v.kind = boolean
			return v
		case "null":
			v.kind = null
			return v
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			v.kind, v.number = number, n
			return v
		}
	}
	if t, err := at(text); err == nil {
		v.time, v.isTime = t, true
	}
	return v
}
