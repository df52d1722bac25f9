package scan

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/where"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Filter says which records are wanted. Lists are alternatives; different
// fields must all hold. The zero Filter wants everything.
type Filter struct {
	Levels                              []string // the wanted levels; empty for all
	Categories, Types, Actions, Sources []string
	Rules                               []string // globs with * and ?
	PIDs                                []int
	Where                               []*where.Expr
	Since, Until                        time.Time // zero for no bound; Since is included, Until is not

	since, until string // the bounds in the form of our own records
	head         head   // of the line being judged
}

// Prepare must be called after the last change of a filter.
func (f *Filter) Prepare() {
	form := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(audit.TimeForm)
	}
	f.since, f.until = form(f.Since), form(f.Until)
}

// AtLeast lists the levels from l up, none for info: that is all of them.
func AtLeast(l coi.Level) []string {
	var out []string
	for _, v := range coi.Levels[max(l.Rank(), 0):] {
		out = append(out, string(v))
	}
	if len(out) == len(coi.Levels) {
		return nil
	}
	return out
}

// All reports whether the filter wants every record.
func (f *Filter) All() bool {
	return len(f.Levels)+len(f.Categories)+len(f.Types)+len(f.Actions)+len(f.Sources)+len(f.Rules)+len(f.PIDs)+len(f.Where) == 0 &&
		f.Since.IsZero() && f.Until.IsZero()
}

// verdict on a line.
type verdict int

const (
	no  verdict = iota
	yes         // wanted and valid
	bad         // cannot be read
)

// judge decides on one line. own says that the line is from a trail of ours:
// then the fixed order of fields lets most lines be turned down by their
// first bytes.
func (f *Filter) judge(line []byte, own bool) verdict {
	if own {
		if h := &f.head; h.parse(line) {
			if !f.heads(h) {
				return no
			}
			if len(f.Rules)+len(f.Actions) > 0 && !f.tails(h, line) {
				return no
			}
			if !f.rest(line, true) {
				return no
			}
			return valid(line)
		}
	}
	if !Valid(line) || own && gjson.GetBytes(line, "v").Int() > audit.Version {
		return bad
	}
	if f.All() || f.foreign(line) && f.rest(line, false) {
		return yes
	}
	return no
}

// skips is the length, newline included, of an unwanted line at the start of b,
// 0 when a closer look is needed. It is what makes most lines cost little: the
// head alone decides, and the end of the line is looked for behind it.
func (f *Filter) skips(b []byte) int {
	if !f.head.parse(b) || f.heads(&f.head) {
		return 0
	}
	n := bytes.IndexByte(b[f.head.next:], '\n')
	if n < 0 {
		return 0
	}
	return f.head.next + n + 1
}

func valid(line []byte) verdict {
	if Valid(line) {
		return yes
	}
	return bad
}

// heads checks what stands before the title.
func (f *Filter) heads(h *head) bool {
	return in(f.Levels, h.level) && in(f.Categories, h.category) && in(f.Types, h.typ) && in(f.Sources, h.source) && f.inTime(h.ts)
}

func in(wanted []string, got []byte) bool {
	if len(wanted) == 0 {
		return true
	}
	return slices.Contains(wanted, string(got))
}

// inTime compares. Times in our own form sort by their bytes.
func (f *Filter) inTime(ts []byte) bool {
	if f.Since.IsZero() && f.Until.IsZero() {
		return true
	}
	if len(ts) == len(audit.TimeForm) && ts[len(ts)-1] == 'Z' && ts[19] == '.' {
		return string(ts) >= f.since && (f.until == "" || string(ts) < f.until)
	}
	t, err := time.Parse(time.RFC3339Nano, string(ts))
	return err == nil && (f.Since.IsZero() || !t.Before(f.Since)) && (f.Until.IsZero() || t.Before(f.Until))
}

// tails checks rule and action, which stand behind title and description.
func (f *Filter) tails(h *head, line []byte) bool {
	rule, action, ok := h.ruleAndAction(line)
	if !ok {
		return f.foreignTail(line)
	}
	return in(f.Actions, action) && f.inRules(string(rule))
}

func (f *Filter) inRules(rule string) bool {
	if len(f.Rules) == 0 {
		return true
	}
	for _, g := range f.Rules {
		if Glob(g, rule) {
			return true
		}
	}
	return false
}

// rest checks what needs a JSON reader.
func (f *Filter) rest(line []byte, own bool) bool {
	if len(f.PIDs) > 0 && !f.pid(line) {
		return false
	}
	for _, e := range f.Where {
		if own && !e.MatchOwn(line) || !own && !e.Match(line) {
			return false
		}
	}
	return true
}

func (f *Filter) pid(line []byte) bool {
	if !bytes.Contains(line, []byte(`"pid"`)) {
		return false
	}
	got := gjson.GetBytes(line, "pid")
	for _, p := range f.PIDs {
		if got.Raw == strconv.Itoa(p) {
			return true
		}
	}
	return false
}

// foreign checks a line whose fields may stand in any order.
func (f *Filter) foreign(line []byte) bool {
	text := func(key string) []byte { return []byte(gjson.GetBytes(line, key).String()) }
	field := func(wanted []string, key string) bool { return len(wanted) == 0 || in(wanted, text(key)) }
	return field(f.Levels, "level") && field(f.Categories, "category") && field(f.Types, "type") && field(f.Sources, "source") &&
		(f.Since.IsZero() && f.Until.IsZero() || f.inTime(text("ts"))) && f.foreignTail(line)
}

func (f *Filter) foreignTail(line []byte) bool {
	return (len(f.Actions) == 0 || in(f.Actions, []byte(gjson.GetBytes(line, "action").String()))) &&
		(len(f.Rules) == 0 || f.inRules(gjson.GetBytes(line, "rule").String()))
}

// Glob matches s against a pattern in which * stands for any text and ? for
// one byte.
func Glob(pattern, s string) bool {
	star, mark, p, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
