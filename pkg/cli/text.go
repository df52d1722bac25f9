package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/cli/near"
)

// Escape makes text from outside safe to print on one line: control, C1,
// bidi, zero-width and invalid bytes appear as \x1b or \u202e forms.
func Escape(s string) string { return escape(s, false) }

// EscapeKeepNewline is Escape for texts of several lines.
func EscapeKeepNewline(s string) string { return escape(s, true) }

func escape(s string, newline bool) string {
	i := 0
	for i < len(s) {
		c := s[i]
		if c < 0x20 && (c != '\n' || !newline) || c == 0x7f || c >= utf8.RuneSelf {
			break
		}
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:i])
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' && newline:
			b.WriteByte('\n')
		case Unprintable(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case Unprintable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// Unprintable reports whether a rune may steer a terminal or hide text: C0,
// DEL, C1, bidi controls, zero-width and other format characters, line and
// paragraph separators, private use and unassigned planes.
func Unprintable(r rune) bool {
	if r >= 0x20 && r < 0x7f {
		return false
	}
	return r < 0xa0 || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) || !unicode.IsGraphic(r)
}

// ShellQuote quotes a word so that pasting it into a POSIX shell is safe.
func ShellQuote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r))
	}) < 0 {
		return s
	}
	if strings.IndexFunc(s, Unprintable) >= 0 || !utf8.ValidString(s) {
		var b strings.Builder
		b.WriteString("$'")
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\'' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < 0x20 || c >= 0x7f:
				fmt.Fprintf(&b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		return b.String() + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Near is near.Words, for the commands.
func Near(s string, words []string) []string { return near.Words(s, words) }
