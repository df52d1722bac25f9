package sigma

import (
	"sort"
	"strings"
)

// Set is a compiled collection of rules.
type Set struct {
	Rules       []*Rule
	Unsupported []Unsupported

	always map[Kind][]int // rules of which no text is known
	auto   *automaton
}

// NewSet builds the prefilter over all literal parts, so that the cost of an
// event hardly depends on the number of rules.
func NewSet(rules []*Rule, not []Unsupported) *Set {
	s := &Set{Rules: rules, Unsupported: not, always: map[Kind][]int{}, auto: newAutomaton()}
	for i, r := range rules {
		if len(r.need) == 0 {
			s.always[r.Kind] = append(s.always[r.Kind], i)
			continue
		}
		for _, w := range r.need {
			s.auto.add(w, i)
		}
	}
	s.auto.build()
	return s
}

// Match returns the rules that a record fits, in file order.
func (s *Set) Match(rec *Record) []*Rule {
	if len(s.Rules) == 0 {
		return nil
	}
	var b strings.Builder
	for _, vs := range rec.Fields {
		for _, v := range vs {
			b.WriteString(strings.ToLower(v))
			b.WriteByte('\n')
		}
	}
	b.WriteString(strings.ToLower(rec.Text))
	maybe := s.auto.scan(b.String())
	maybe = append(maybe, s.always[rec.Kind]...)
	sort.Ints(maybe)
	var out []*Rule
	last := -1
	for _, i := range maybe {
		if i != last && s.Rules[i].Match(rec) {
			out = append(out, s.Rules[i])
		}
		last = i
	}
	return out
}

// automaton finds many texts in one pass (Aho and Corasick, 1975).
type automaton struct {
	next []map[byte]int32
	fail []int32
	hits [][]int
}

func newAutomaton() *automaton {
	return &automaton{next: []map[byte]int32{{}}, fail: []int32{0}, hits: [][]int{nil}}
}

func (a *automaton) add(word string, rule int) {
	at := int32(0)
	for i := range len(word) {
		n, ok := a.next[at][word[i]]
		if !ok {
			n = int32(len(a.next)) //nolint:gosec // bounded by the size of the rule files
			a.next = append(a.next, map[byte]int32{})
			a.fail = append(a.fail, 0)
			a.hits = append(a.hits, nil)
			a.next[at][word[i]] = n
		}
		at = n
	}
	a.hits[at] = append(a.hits[at], rule)
}

func (a *automaton) build() {
	var queue []int32
	for _, n := range a.next[0] {
		queue = append(queue, n)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c, n := range a.next[at] {
			f := a.fail[at]
			for f != 0 && a.next[f][c] == 0 {
				f = a.fail[f]
			}
			if t := a.next[f][c]; t != n {
				a.fail[n] = t
			}
			a.hits[n] = append(a.hits[n], a.hits[a.fail[n]]...)
			queue = append(queue, n)
		}
	}
}

func (a *automaton) scan(text string) []int {
	var out []int
	seen := map[int]bool{}
	at := int32(0)
	for i := range len(text) {
		c := text[i]
		for at != 0 && a.next[at][c] == 0 {
			at = a.fail[at]
		}
		at = a.next[at][c]
		for _, r := range a.hits[at] {
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}
