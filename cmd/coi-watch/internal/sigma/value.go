package sigma

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// test is one compiled value of a field.
type test interface {
	ok(value string) bool
	literal() string // lower-case text that a match must contain; "" if unknown
}

// glob is plain text with * and ?.
type glob struct {
	parts []string // text between stars, with \x00 for ?
	cased bool
	lit   string
}

const anyChar = "\x00"

// newGlob compiles a Sigma value: * and ? are wildcards, a backslash before one
// of them or before a backslash takes the meaning away.
func newGlob(v string, cased bool) *glob {
	if !cased {
		v = strings.ToLower(v)
	}
	g := &glob{cased: cased}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '\\' && i+1 < len(v) && strings.IndexByte(`*?\`, v[i+1]) >= 0:
			i++
			b.WriteByte(v[i])
		case v[i] == '*':
			g.parts = append(g.parts, b.String())
			b.Reset()
		case v[i] == '?':
			b.WriteString(anyChar)
		default:
			b.WriteByte(v[i])
		}
	}
	g.parts = append(g.parts, b.String())
	for _, p := range g.parts {
		for l := range strings.SplitSeq(p, anyChar) {
			if len(l) > len(g.lit) {
				g.lit = l
			}
		}
	}
	g.lit = strings.ToLower(g.lit)
	return g
}

func (g *glob) literal() string { return g.lit }

func (g *glob) ok(value string) bool {
	if !g.cased {
		value = strings.ToLower(value)
	}
	if len(g.parts) == 1 {
		return len(value) == len(g.parts[0]) && at(value, g.parts[0], 0)
	}
	first, last := g.parts[0], g.parts[len(g.parts)-1]
	if len(value) < len(first)+len(last) || !at(value, first, 0) || !at(value, last, len(value)-len(last)) {
		return false
	}
	rest := value[len(first) : len(value)-len(last)]
	for _, p := range g.parts[1 : len(g.parts)-1] {
		i := find(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return true
}

// at compares part with value at an offset; a NUL stands for any byte.
func at(value, part string, off int) bool {
	if off < 0 || off+len(part) > len(value) {
		return false
	}
	if !strings.Contains(part, anyChar) {
		return value[off:off+len(part)] == part
	}
	for i := range len(part) {
		if part[i] != 0 && part[i] != value[off+i] {
			return false
		}
	}
	return true
}

func find(value, part string) int {
	if !strings.Contains(part, anyChar) {
		return strings.Index(value, part)
	}
	for i := 0; i+len(part) <= len(value); i++ {
		if at(value, part, i) {
			return i
		}
	}
	return -1
}

type reTest struct{ re *regexp.Regexp }

func (t reTest) ok(v string) bool { return t.re.MatchString(v) }
func (t reTest) literal() string  { return "" }

type cidrTest struct{ net netip.Prefix }

func (t cidrTest) ok(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && t.net.Contains(a.Unmap())
}
func (t cidrTest) literal() string { return "" }

type numTest struct {
	op string
	n  float64
}

func (t numTest) ok(v string) bool {
	x, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return false
	}
	switch t.op {
	case "lt":
		return x < t.n
	case "lte":
		return x <= t.n
	case "gt":
		return x > t.n
	}
	return x >= t.n
}
func (t numTest) literal() string { return "" }

// modifiers is a parsed chain such as contains|all.
type modifiers struct {
	wrap   string // contains, startswith, endswith or ""
	all    bool
	cased  bool
	re     string // flags of a regular expression, with a leading (
	isRE   bool
	cidr   bool
	exists bool
	ref    bool
	num    string
	encode []string
}

func parseModifiers(list []string) (modifiers, error) {
	var m modifiers
	for _, w := range list {
		switch w {
		case "contains", "startswith", "endswith":
			m.wrap = w
		case "all":
			m.all = true
		case "cased":
			m.cased = true
		case "re":
			m.isRE = true
		case "i", "m", "s":
			m.re += w
		case "cidr":
			m.cidr = true
		case "exists":
			m.exists = true
		case "fieldref":
			m.ref = true
		case "lt", "lte", "gt", "gte":
			m.num = w
		case "base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash":
			m.encode = append(m.encode, w)
		default:
			return m, unsupported("modifier %s is not supported", w)
		}
	}
	return m, nil
}

// tests compiles one scalar value; several tests mean any of them.
func (m modifiers) tests(n *yaml.Node) ([]test, error) {
	if n.Kind != yaml.ScalarNode {
		return nil, errScalar
	}
	v := n.Value
	if placeholder.MatchString(v) && !m.isRE {
		return nil, unsupported("placeholder %s is not supported", v)
	}
	switch {
	case m.isRE:
		flags := ""
		if m.re != "" {
			flags = "(?" + m.re + ")"
		}
		re, err := regexp.Compile(flags + v)
		if err != nil {
			return nil, unsupported("regular expression is outside RE2: %v", err)
		}
		return []test{reTest{re}}, nil
	case m.cidr:
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return nil, unsupported("%q is no address range", v)
		}
		return []test{cidrTest{p.Masked()}}, nil
	case m.num != "":
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil, unsupported("%q is no number", v)
		}
		return []test{numTest{m.num, f}}, nil
	}
	var out []test
	for _, x := range m.encoded(v) {
		switch m.wrap {
		case "contains":
			x = "*" + x + "*"
		case "startswith":
			x += "*"
		case "endswith":
			x = "*" + x
		}
		out = append(out, newGlob(x, m.cased))
	}
	return out, nil
}

var placeholder = regexp.MustCompile(`^%\w+%$`)

// encoded applies the encoding modifiers in order.
func (m modifiers) encoded(v string) []string {
	out := []string{v}
	for _, e := range m.encode {
		var next []string
		for _, x := range out {
			next = append(next, encode(e, x)...)
		}
		out = next
	}
	return out
}

func encode(how, v string) []string {
	switch how {
	case "base64":
		return []string{base64.StdEncoding.EncodeToString([]byte(v))}
	case "base64offset":
		var out []string
		cutFront, cutBack := []int{0, 2, 3}, []int{0, 3, 2}
		for off := range 3 {
			e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", off) + v))
			e = e[cutFront[off]:]
			if k := cutBack[(len(v)+off)%3]; k > 0 && k <= len(e) {
				e = e[:len(e)-k]
			}
			out = append(out, e)
		}
		return out
	case "windash":
		out := []string{v}
		for _, d := range []string{"/", "–", "—", "―"} {
			if w := strings.Replace(v, "-", d, 1); w != v {
				out = append(out, w)
			}
		}
		return out
	}
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(v)) {
		lo, hi := byte(u), byte(u>>8)
		if how == "utf16be" {
			lo, hi = hi, lo
		}
		b.WriteByte(lo)
		b.WriteByte(hi)
	}
	return []string{b.String()}
}
