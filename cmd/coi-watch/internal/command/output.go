package command

import (
	"bytes"
	"compress/gzip"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// output is the standard output of programs that print constants or change
// them in a known way. ok is false for all others.
func (e *eval) output(s *Simple) (out value, ok bool) {
	args := s.Argv[1:]
	switch s.Name {
	case "echo":
		return e.echo(s, args), true
	case "printf":
		return e.printf(s, args), true
	case "cat", "tac", "head", "tail":
		return e.cat(s)
	case "which", "type", "whereis":
		return found(args), len(args) > 0
	case "command":
		if len(args) > 1 && (args[0] == "-v" || args[0] == "-V") {
			return found(args[1:]), true
		}
	case "base64", "base32", "xxd", "rev", "tr", "openssl", "gunzip", "gzip", "zcat", "basenc", "uudecode":
		return e.decode(s)
	case "mktemp":
		e.subs++
		dir := "/tmp"
		if v := s.Parsed().Values("p", "tmpdir"); len(v) > 0 && v[0] != "" {
			dir = v[0]
		}
		return text(dir + "/tmp.x" + strconv.Itoa(e.subs) + "\n"), true
	case "basename":
		if len(args) > 0 {
			return text(args[0][strings.LastIndexByte(args[0], '/')+1:]), true
		}
	case "sed", "grep", "sort", "uniq", "fold", "cut", "awk":
		if s.Name == "awk" {
			return value{}, false
		}
		return filtered(s)
	}
	return value{}, false
}

func found(args []string) value {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") && a != "" && !strings.ContainsAny(a, "$ ") {
			return text("/usr/bin/" + program.Base(a) + "\n")
		}
	}
	return value{}
}

func (e *eval) echo(s *Simple, args []string) value {
	esc, nl := s.Name == "echo" && false, "\n"
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0], "-neE") == "" && args[0] != "-" {
		esc = esc || strings.Contains(args[0], "e")
		if strings.Contains(args[0], "n") {
			nl = ""
		}
		args = args[1:]
	}
	t := strings.Join(args, " ")
	if esc {
		if x, _, err := expand.Format(e.config(), "%b", []string{t}); err == nil {
			s.Decoded = s.Decoded || escaped(t)
			t = x
		}
	}
	return value{s: t + nl, known: true, from: s.From, decoded: s.Decoded}
}

func (e *eval) printf(s *Simple, args []string) value {
	if len(args) > 1 && args[0] == "-v" {
		if len(args) > 2 {
			if t, ok := e.format(args[2:]); ok {
				e.vars[args[1]] = variable{value: value{s: t, known: true, from: s.From}}
			}
		}
		return text("")
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return text("")
	}
	t, ok := e.format(args)
	numbers := escaped(args[0]) || strings.Contains(args[0], "%b") && slices.ContainsFunc(args[1:], escaped)
	return value{s: t, known: ok, from: s.From, decoded: s.Decoded || numbers}
}

var escapes = regexp.MustCompile(`\\(?:x[0-9a-fA-F]{1,2}|0?[0-7]{2,3}|u[0-9a-fA-F]{4})`)

// escaped reports text written in numbers for the most part: two letters or
// more, none of them a control character.
func escaped(t string) bool {
	m := escapes.FindAllString(t, -1)
	n := 0
	for _, x := range m {
		n += len(x)
		if x == `\x1b` || x == `\x1B` || x == `\033` {
			return false
		}
	}
	return len(m) > 1 && 2*n > len(t)
}

// format is printf(1): the format is used again while arguments remain. A
// width in it could ask for any amount of memory, so long ones are refused.
func (e *eval) format(args []string) (string, bool) {
	format, rest := args[0], args[1:]
	digits := 0
	for _, c := range format {
		if c >= '0' && c <= '9' {
			digits++
		} else {
			digits = 0
		}
		if digits > 3 && strings.Contains(format, "%") {
			return "", false
		}
	}
	var b strings.Builder
	for range 256 {
		t, n, err := expand.Format(e.config(), format, rest)
		if err != nil {
			return "", false
		}
		b.WriteString(t)
		if n == 0 || n >= len(rest) || b.Len() > MaxText {
			break
		}
		rest = rest[n:]
	}
	return b.String(), true
}

func (e *eval) cat(s *Simple) (value, bool) {
	p := s.Parsed()
	if len(p.Rest) == 0 || len(p.Rest) == 1 && p.Rest[0] == "-" {
		return value{s: s.Feed, known: s.Fed && s.Name == "cat", from: s.Stdin, decoded: s.Decoded, prog: s.feedProg}, true
	}
	out := text("")
	for _, name := range p.Rest {
		f := e.files[e.abs(name)]
		if strings.HasPrefix(name, "/dev/fd/") {
			f = e.files[name]
		}
		if f == nil && s.Name == "cat" && len(p.Rest) == 1 && systemFolder(e.abs(name)) {
			return value{prog: program.Canonical(name)}, true
		}
		if f == nil {
			out = join(out, value{})
			continue
		}
		out = join(out, f.value)
	}
	s.From = merge(s.From, out.from)
	out.known = out.known && s.Name == "cat"
	return out, true
}

// decode undoes an encoding of known text.
func (e *eval) decode(s *Simple) (value, bool) {
	p := s.Parsed()
	in := value{s: s.Feed, known: s.Fed, from: s.Stdin}
	rest := p.Rest
	if s.Name == "openssl" {
		if len(s.Argv) < 2 || s.Argv[1] != "base64" && s.Argv[1] != "enc" && s.Argv[1] != "aes-256-cbc" {
			return value{}, false
		}
		rest = p.Values("in")
	}
	if s.Name == "tr" {
		rest = nil
	}
	if len(rest) > 0 && rest[0] != "-" {
		if f := e.files[e.abs(rest[0])]; f != nil {
			in = f.value
			s.From = merge(s.From, f.from)
		} else if f := e.files[rest[0]]; f != nil {
			in = f.value
		} else {
			in.known = false
		}
	}
	var t string
	var err error
	decoding := true
	switch s.Name {
	case "base64", "basenc":
		if decoding = p.Has("d", "D", "decode", "di", "id"); decoding {
			t, err = unbase64(in.s)
		} else {
			t = base64.StdEncoding.EncodeToString([]byte(in.s)) + "\n"
		}
	case "base32":
		if decoding = p.Has("d", "D", "decode"); decoding {
			var b []byte
			b, err = base32.StdEncoding.DecodeString(strip(in.s))
			t = string(b)
		} else {
			t = base32.StdEncoding.EncodeToString([]byte(in.s)) + "\n"
		}
	case "openssl":
		if decoding = p.Has("d"); !decoding {
			return value{from: in.from}, true
		}
		if s.Argv[1] == "base64" || p.Has("base64", "a") && !p.Has("k", "pass") {
			t, err = unbase64(in.s)
		} else {
			in.known = false
		}
	case "xxd":
		if decoding = p.Has("r"); !decoding {
			t = hex.EncodeToString([]byte(in.s)) + "\n"
		} else {
			t, err = unhex(in.s)
		}
	case "rev":
		t = reverse(in.s)
	case "tr":
		t, decoding = translate(s.Argv[1:], in.s)
		if t == "" {
			return value{from: in.from, decoded: in.decoded}, true
		}
	case "gunzip", "zcat":
		t, err = gunzip(in.s)
	case "gzip":
		if decoding = p.Has("d", "decompress"); decoding {
			t, err = gunzip(in.s)
		} else {
			return value{from: in.from}, true
		}
	default:
		return value{from: in.from, decoded: true}, true
	}
	if err != nil {
		in.known = false
	}
	return value{s: t, known: in.known, from: in.from, decoded: decoding || in.decoded}, true
}

func strip(s string) string { return strings.Join(strings.Fields(s), "") }

// unbase64 decodes both alphabets, with or without padding.
func unbase64(s string) (string, error) {
	s = strings.TrimRight(strip(s), "=")
	s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	b, err := base64.RawStdEncoding.DecodeString(s)
	return string(b), err
}

func unhex(s string) (string, error) {
	s = strings.NewReplacer(`\x`, "", "0x", "", ":", "").Replace(strip(s))
	b, err := hex.DecodeString(s)
	return string(b), err
}

func reverse(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		nl := strings.HasSuffix(line, "\n")
		r := []rune(strings.TrimSuffix(line, "\n"))
		for i := len(r) - 1; i >= 0; i-- {
			b.WriteRune(r[i])
		}
		if nl {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// translate is tr for sets of one length without classes (rot13 and the like),
// and -d of plain characters. The flag says whether it looks like a decoder.
func translate(args []string, in string) (string, bool) {
	if len(args) == 2 && args[0] == "-d" {
		cut := expandSet(args[1])
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(cut, r) {
				return -1
			}
			return r
		}, in), false
	}
	if len(args) != 2 || strings.HasPrefix(args[0], "-") {
		return "", false
	}
	a, b := []rune(expandSet(args[0])), []rune(expandSet(args[1]))
	if len(b) == 0 || len(a) == 0 {
		return "", false
	}
	m := map[rune]rune{}
	for i, r := range a {
		m[r] = b[min(i, len(b)-1)]
	}
	return strings.Map(func(r rune) rune {
		if x, ok := m[r]; ok {
			return x
		}
		return r
	}, in), len(a) >= 13
}

func expandSet(s string) string {
	s = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(s)
	r := []rune(s)
	var out []rune
	for i := 0; i < len(r); i++ {
		if i+2 < len(r) && r[i+1] == '-' && r[i+2] >= r[i] && r[i+2]-r[i] < 256 {
			for c := r[i]; c <= r[i+2]; c++ {
				out = append(out, c)
			}
			i += 2
			continue
		}
		out = append(out, r[i])
	}
	return string(out)
}

func gunzip(s string) (string, error) {
	r, err := gzip.NewReader(bytes.NewReader([]byte(s)))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxText))
	return string(b), err
}
