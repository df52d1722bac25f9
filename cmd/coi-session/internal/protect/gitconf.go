package protect

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// variable is one line of a git configuration file.
type variable struct {
	section, sub, key string // section and key in lower case
	hasSub            bool
	value             string
	hasValue          bool
}

// gitConfig reads the format of git-config(1). What git would refuse is an
// error; the caller then treats the whole file as hostile. The reader need not
// agree with git on every odd file, because a file that is kept is written anew
// from what was read.
func gitConfig(text []byte) ([]variable, error) {
	p := confParser{in: bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("a NUL byte")
	}
	for {
		switch c, ok := p.next(); {
		case !ok:
			return p.out, nil
		case c == ' ' || c == '\t' || c == '\n':
		case c == '#' || c == ';':
			p.line()
		case c == '[':
			if err := p.header(); err != nil {
				return nil, err
			}
		case isAlpha(c):
			if err := p.variable(c); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("byte %q at %d", c, p.at)
		}
	}
}

type confParser struct {
	in     []byte
	at     int
	cur    variable
	inside bool // after a section header
	out    []variable
}

func (p *confParser) next() (byte, bool) {
	if p.at >= len(p.in) {
		return 0, false
	}
	p.at++
	return p.in[p.at-1], true
}

func (p *confParser) line() {
	for c, ok := p.next(); ok && c != '\n'; c, ok = p.next() {
	}
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isAlpha(c) || c >= '0' && c <= '9' }

var errHeader = errors.New("bad section header")

// header reads [section], [section "sub"] and the old [section.sub].
func (p *confParser) header() error {
	var name []byte
	p.cur = variable{}
	for {
		c, ok := p.next()
		switch {
		case !ok || c == '\n':
			return errHeader
		case c == ']':
			section, sub, dotted := strings.Cut(strings.ToLower(string(name)), ".")
			p.cur.section, p.cur.sub, p.cur.hasSub, p.inside = section, sub, dotted, true
			return notEmpty(section)
		case c == ' ' || c == '\t':
			p.cur.section, p.inside = strings.ToLower(string(name)), true
			if err := p.subsection(); err != nil {
				return err
			}
			if section, rest, ok := strings.Cut(p.cur.section, "."); ok { // git takes the first and the last dot
				p.cur.section, p.cur.sub = section, rest+"."+p.cur.sub
			}
			return notEmpty(p.cur.section)
		case isAlnum(c) || c == '-' || c == '.':
			name = append(name, c)
		default:
			return errHeader
		}
	}
}

func notEmpty(section string) error {
	if section == "" {
		return errHeader
	}
	return nil
}

func (p *confParser) subsection() error {
	c, ok := p.next()
	for ok && (c == ' ' || c == '\t') {
		c, ok = p.next()
	}
	if c != '"' {
		return errHeader
	}
	var sub []byte
	for {
		c, ok := p.next()
		if !ok || c == '\n' {
			return errHeader
		}
		if c == '"' {
			break
		}
		if c == '\\' {
			if c, ok = p.next(); !ok || c == '\n' {
				return errHeader
			}
		}
		sub = append(sub, c)
	}
	if c, ok := p.next(); !ok || c != ']' {
		return errHeader
	}
	p.cur.sub, p.cur.hasSub = string(sub), true
	return nil
}

func (p *confParser) variable(first byte) error {
	if !p.inside {
		return errors.New("a key before any section")
	}
	v := p.cur
	name := []byte{first}
	c, ok := p.next()
	for ok && (isAlnum(c) || c == '-') {
		name = append(name, c)
		c, ok = p.next()
	}
	for ok && (c == ' ' || c == '\t') {
		c, ok = p.next()
	}
	v.key = strings.ToLower(string(name))
	switch {
	case !ok || c == '\n':
		p.out = append(p.out, v)
		return nil
	case c != '=':
		return fmt.Errorf("byte %q after key %s", c, v.key)
	}
	value, err := p.value()
	v.value, v.hasValue = value, true
	p.out = append(p.out, v)
	return err
}

// value reads to the end of the line: quotes, escapes, continued lines,
// comments, and spaces that count only between words.
func (p *confParser) value() (string, error) {
	var out []byte
	quoted, spaces := false, 0
	for {
		c, ok := p.next()
		switch {
		case !ok || c == '\n':
			if quoted {
				return "", errors.New("a quote without end")
			}
			return string(out), nil
		case !quoted && (c == ' ' || c == '\t'):
			if len(out) > 0 {
				spaces++
			}
			continue
		case !quoted && (c == '#' || c == ';'):
			p.line()
			return string(out), nil
		}
		for ; spaces > 0; spaces-- {
			out = append(out, ' ')
		}
		if c == '"' {
			quoted = !quoted
			continue
		}
		if c == '\\' {
			var skip bool
			if c, skip, ok = p.escape(); !ok {
				return "", errors.New("a bad escape")
			}
			if skip {
				continue
			}
		}
		out = append(out, c)
	}
}

// escape reads what follows a backslash; skip says that a line goes on.
func (p *confParser) escape() (c byte, skip, ok bool) {
	c, ok = p.next()
	if !ok {
		return 0, false, false
	}
	switch c {
	case '\n':
		return 0, true, true
	case 't':
		return '\t', false, true
	case 'n':
		return '\n', false, true
	case 'b':
		return '\b', false, true
	case '\\', '"':
		return c, false, true
	}
	return 0, false, false
}

// writeConfig gives the variables in a form that leaves nothing to guess.
func writeConfig(vars []variable) []byte {
	var b bytes.Buffer
	last := ""
	for _, v := range vars {
		head := "[" + v.section + "]"
		if v.hasSub {
			head = "[" + v.section + ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v.sub) + `"]`
		}
		if head != last {
			b.WriteString(head + "\n")
			last = head
		}
		b.WriteString("\t" + v.key)
		if v.hasValue {
			b.WriteString(` = "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(v.value) + `"`)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
