package sigma

import (
	"path"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// condition compiles the condition line, or a list of them (any).
func (c *compiler) condition(n *yaml.Node) (node, error) {
	if n.Kind == yaml.SequenceNode {
		var out or
		for _, x := range n.Content {
			one, err := c.condition(x)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		return out, nil
	}
	if strings.Contains(n.Value, "|") {
		return nil, unsupported("aggregation is not supported: %s", strings.TrimSpace(n.Value[strings.Index(n.Value, "|"):]))
	}
	p := &parser{c: c, words: words(n.Value)}
	out, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.i != len(p.words) {
		return nil, unsupported("condition not understood at %q", p.words[p.i])
	}
	return out, nil
}

func words(s string) []string {
	s = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	return strings.Fields(s)
}

type parser struct {
	c     *compiler
	words []string
	i     int
}

func (p *parser) peek() string {
	if p.i < len(p.words) {
		return p.words[p.i]
	}
	return ""
}

func (p *parser) take(word string) bool {
	if strings.EqualFold(p.peek(), word) {
		p.i++
		return true
	}
	return false
}

func (p *parser) or(depth int) (node, error) {
	if depth > 32 {
		return nil, unsupported("condition is nested too deep")
	}
	n, err := p.and(depth)
	if err != nil {
		return nil, err
	}
	out := or{n}
	for p.take("or") {
		if n, err = p.and(depth); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (p *parser) and(depth int) (node, error) {
	n, err := p.term(depth)
	if err != nil {
		return nil, err
	}
	out := and{n}
	for p.take("and") {
		if n, err = p.term(depth); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (p *parser) term(depth int) (node, error) {
	if depth > 32 {
		return nil, unsupported("condition is nested too deep")
	}
	switch {
	case p.take("not"):
		n, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		return not{n}, nil
	case p.take("("):
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, unsupported("condition lacks a closing parenthesis")
		}
		return n, nil
	}
	w := p.peek()
	if w == "" {
		return nil, unsupported("condition ends too early")
	}
	p.i++
	if strings.EqualFold(p.peek(), "of") {
		p.i++
		return p.quantified(w)
	}
	n, ok := p.c.named[w]
	if !ok {
		return nil, unsupported("condition names an unknown search: %s", w)
	}
	return n, nil
}

// quantified is "1 of x*", "all of them", "3 of x*".
func (p *parser) quantified(count string) (node, error) {
	pattern := p.peek()
	p.i++
	var names []string
	for name := range p.c.named {
		ok, err := path.Match(pattern, name)
		if err == nil && ok || pattern == "them" && !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, unsupported("condition names no search: %s of %s", count, pattern)
	}
	sort.Strings(names)
	var list []node
	for _, n := range names {
		list = append(list, p.c.named[n])
	}
	if strings.EqualFold(count, "all") {
		return and(list), nil
	}
	if strings.EqualFold(count, "any") {
		return or(list), nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, unsupported("condition not understood: %s of", count)
	}
	if n == 1 {
		return or(list), nil
	}
	return atLeast{n, list}, nil
}
