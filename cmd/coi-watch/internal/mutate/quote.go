package mutate

import (
	"fmt"
	"strings"
)

// quotes write the words of the line apart.
func quotes() []Mutation {
	return []Mutation{
		{Name: "n''c", Do: each(func(w string) string { return w[:1] + "''" + w[1:] })},
		{Name: `"n"c`, Do: each(func(w string) string { return `"` + w[:1] + `"` + w[1:] })},
		{Name: `n\c`, Do: each(func(w string) string { return w[:1] + `\` + w[1:] })},
		{Name: "n$@c", Do: each(func(w string) string { return w[:1] + "$@" + w[1:] })},
		{Name: "n${u}c", Do: each(func(w string) string { return w[:1] + "${u}" + w[1:] })},
		{Name: `$'\x6e\x63'`, Do: each(func(w string) string { return "$'" + codes(w, `\x%02x`) + "'" })},
		{Name: `$'\156\143'`, Do: each(func(w string) string { return "$'" + codes(w, `\%03o`) + "'" })},
		{Name: "$(printf …)", Decodes: true, Do: each(func(w string) string { return "$(printf '" + codes(w, `\%03o`) + "')" })},
		{Name: "$(echo … | rev)", Decodes: true, Do: command(func(w string) string { return "$(echo " + backwards(w) + " | rev)" })},
		{Name: "${IFS}", Do: func(l string) string {
			list := words(l)
			if len(list) < 2 || !list[0].program || builtin(list[0].text) {
				return ""
			}
			out := l
			for i := len(list) - 1; i > 0; i-- {
				if a, b := list[i-1], list[i]; !b.program && l[a.to:b.from] == " " {
					out = out[:a.to] + "${IFS}" + out[b.from:]
				}
			}
			if out == l {
				return ""
			}
			return out
		}},
		{Name: "{nc,-e,…}", Do: func(l string) string {
			list := words(l)
			if len(list) < 2 || !list[0].program || list[0].from != 0 || builtin(list[0].text) {
				return ""
			}
			n := 1
			for n < len(list) && !list[n].program && l[list[n-1].to:list[n].from] == " " && !strings.Contains(list[n].text, ",") {
				n++
			}
			if n < 2 {
				return ""
			}
			var in []string
			for _, s := range list[:n] {
				in = append(in, s.text)
			}
			return "{" + strings.Join(in, ",") + "}" + l[list[n-1].to:]
		}},
		{Name: "a=n;b=c;$a$b", Do: func(l string) string {
			prefix, n := "", 0
			out := replace(l, programs(l), func(s span) string {
				if len(s.text) < 2 {
					return ""
				}
				n++
				prefix += fmt.Sprintf("a%d=%s;b%d=%s;", n, s.text[:1], n, s.text[1:])
				return fmt.Sprintf("$a%d$b%d", n, n)
			})
			if out == "" {
				return ""
			}
			return prefix + out
		}},
		{Name: "substrings ${x:1:2}", Do: func(l string) string {
			prefix, n := "", 0
			out := replace(l, programs(l), func(s span) string {
				n++
				prefix += fmt.Sprintf("v%d=zz%szz;", n, s.text)
				return fmt.Sprintf("${v%d:2:%d}", n, len(s.text))
			})
			if out == "" {
				return ""
			}
			return prefix + out
		}},
		{Name: "wildcards /usr/bin/n?", Do: command(func(w string) string {
			if len(w) < 2 {
				return ""
			}
			return "/usr/bin/" + w[:len(w)-1] + "?"
		})},
	}
}

// each changes every plain word of two letters or more, programs first of all.
// Addresses of the shell's own network are words like any other.
func each(with func(string) string) func(string) string {
	return func(l string) string {
		return replace(l, words(l), func(s span) string {
			if len(s.text) < 2 || s.program && assigns(s.text) || s.text[0] == '-' {
				return ""
			}
			return with(s.text)
		})
	}
}

// command changes the words that name programs.
func command(with func(string) string) func(string) string {
	return func(l string) string {
		return replace(l, programs(l), func(s span) string { return with(s.text) })
	}
}

// assigns are words that lose their meaning to the shell when they are quoted.
func assigns(w string) bool {
	switch w {
	case "export", "declare", "typeset", "local", "readonly", "let", "coproc":
		return true
	}
	return false
}

func codes(w, format string) string {
	var b strings.Builder
	for i := range len(w) {
		fmt.Fprintf(&b, format, w[i])
	}
	return b.String()
}

func backwards(w string) string {
	b := []byte(w)
	for i, k := 0, len(b)-1; i < k; i, k = i+1, k-1 {
		b[i], b[k] = b[k], b[i]
	}
	return string(b)
}
