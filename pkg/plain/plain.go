// Package plain makes text from outside safe to show: what could steer a
// terminal, reverse a line or hide letters is spelled out.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes text from outside safe to print on one line: control, C1,
// bidi, zero-width and invalid bytes appear as \x1b or \u202e forms.
func Escape(s string) string { return escape(s, false) }

// EscapeKeepNewline is Escape for texts of several lines.
func EscapeKeepNewline(s string) string { return escape(s, true) }

func escape(s string, newline bool) string {
	i := clean(s, newline)
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

// clean is the length of the start of s that is printable ASCII.
func clean(s string, newline bool) int {
	for i := range len(s) {
		c := s[i]
		if c < 0x20 && (c != '\n' || !newline) || c == 0x7f || c >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
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
