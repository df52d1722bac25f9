package sigma

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// node is a compiled part of a rule.
type node interface {
	match(r *Record) bool
	// need lists lower-case texts of which at least one must occur in a record
	// that matches; ok is false when nothing is known.
	need() (list []string, ok bool)
}

type (
	and     []node
	or      []node
	not     struct{ n node }
	atLeast struct {
		n    int
		list []node
	}
	field struct {
		name  string
		tests []test // any of them
	}
	null   struct{ name string }
	exists struct {
		name string
		want bool
	}
	fieldRef struct{ a, b string }
	keyword  struct{ t test }
)

func (a and) match(r *Record) bool {
	for _, n := range a {
		if !n.match(r) {
			return false
		}
	}
	return true
}

func (a and) need() ([]string, bool) {
	var best []string
	found := false
	for _, n := range a {
		if l, ok := n.need(); ok && (!found || shortest(l) > shortest(best)) {
			best, found = l, true
		}
	}
	return best, found
}

// shortest is the length of the shortest text: the longer, the rarer.
func shortest(list []string) int {
	m := 1 << 30
	for _, s := range list {
		m = min(m, len(s))
	}
	return m
}

func (o or) match(r *Record) bool {
	for _, n := range o {
		if n.match(r) {
			return true
		}
	}
	return false
}

func (o or) need() ([]string, bool) {
	var out []string
	for _, n := range o {
		l, ok := n.need()
		if !ok {
			return nil, false
		}
		out = append(out, l...)
	}
	return out, len(out) > 0
}

func (n not) match(r *Record) bool       { return !n.n.match(r) }
func (n not) need() ([]string, bool)     { return nil, false }
func (a atLeast) need() ([]string, bool) { return or(a.list).need() }

func (a atLeast) match(r *Record) bool {
	hits := 0
	for _, n := range a.list {
		if n.match(r) {
			hits++
		}
	}
	return hits >= a.n
}

func (f field) match(r *Record) bool {
	for _, v := range r.Fields[f.name] {
		for _, t := range f.tests {
			if t.ok(v) {
				return true
			}
		}
	}
	return false
}

func (f field) need() ([]string, bool) {
	var out []string
	for _, t := range f.tests {
		l := t.literal()
		if len(l) < 2 {
			return nil, false
		}
		out = append(out, l)
	}
	return out, len(out) > 0
}

func (n null) match(r *Record) bool   { return len(r.Fields[n.name]) == 0 }
func (n null) need() ([]string, bool) { return nil, false }

func (e exists) match(r *Record) bool   { return (len(r.Fields[e.name]) > 0) == e.want }
func (e exists) need() ([]string, bool) { return nil, false }

func (f fieldRef) match(r *Record) bool {
	for _, a := range r.Fields[f.a] {
		for _, b := range r.Fields[f.b] {
			if strings.EqualFold(a, b) {
				return true
			}
		}
	}
	return false
}
func (f fieldRef) need() ([]string, bool) { return nil, false }

func (k keyword) match(r *Record) bool { return k.t.ok(r.Text) }
func (k keyword) need() ([]string, bool) {
	l := k.t.literal()
	return []string{l}, len(l) > 1
}

type compiler struct {
	kind  Kind
	named map[string]node
}

// selection compiles one named search: a map (all fields), a list of maps or
// of keywords (any).
func (c *compiler) selection(n *yaml.Node) (node, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n)
	case yaml.SequenceNode:
		var out or
		for _, x := range n.Content {
			m, err := c.selection(x)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
		return out, nil
	case yaml.ScalarNode:
		return c.word(n, modifiers{})
	}
	return nil, unsupported("a search of this form is not supported")
}

// word is a keyword: it may stand anywhere in the text.
func (c *compiler) word(n *yaml.Node, m modifiers) (node, error) {
	if c.kind != Log && c.kind != Audit {
		return nil, unsupported("keywords are supported for logs only")
	}
	m.wrap = "contains"
	ts, err := m.tests(n)
	if err != nil {
		return nil, err
	}
	var out or
	for _, t := range ts {
		out = append(out, keyword{t})
	}
	return out, nil
}

func (c *compiler) mapping(n *yaml.Node) (node, error) {
	var out and
	for i := 0; i+1 < len(n.Content); i += 2 {
		parts := strings.Split(n.Content[i].Value, "|")
		m, err := parseModifiers(parts[1:])
		if err != nil {
			return nil, err
		}
		x, err := c.field(parts[0], m, n.Content[i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (c *compiler) field(name string, m modifiers, v *yaml.Node) (node, error) {
	if name != "" {
		if c.kind == Log {
			return nil, unsupported("fields of log lines are not supported, only keywords: %s", name)
		}
		if !oneOf(name, fields[c.kind]) && !(c.kind == Audit && argField(name)) {
			return nil, unsupported("unknown field %s", name)
		}
		if c.kind == Audit && name == "type" {
			if err := knownTypes(v); err != nil {
				return nil, err
			}
		}
	}
	values := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		values = v.Content
	}
	var out []node
	for _, x := range values {
		one, err := c.value(name, m, x)
		if err != nil {
			if err == errScalar { //nolint:errorlint // our own sentinel, never wrapped
				err = unsupported("value of %s is no text", name)
			}
			return nil, err
		}
		out = append(out, one)
	}
	if m.all {
		return and(out), nil
	}
	return or(out), nil
}

func (c *compiler) value(name string, m modifiers, x *yaml.Node) (node, error) {
	switch {
	case name == "":
		return c.word(x, m)
	case m.exists:
		return exists{name, x.Value == "true"}, nil
	case m.ref:
		return fieldRef{name, x.Value}, nil
	case x.Tag == "!!null":
		return null{name}, nil
	}
	ts, err := m.tests(x)
	if err != nil {
		return nil, err
	}
	return field{name, ts}, nil
}

// argField reports a0, a1, … of an audit record.
func argField(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "a"))
	return strings.HasPrefix(name, "a") && err == nil && n >= 0 && n < 1000
}

func knownTypes(v *yaml.Node) error {
	values := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		values = v.Content
	}
	for _, x := range values {
		if !oneOf(strings.ToUpper(x.Value), auditTypes) {
			return unsupported("audit record type %s has no sensor", x.Value)
		}
	}
	return nil
}
