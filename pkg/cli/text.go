package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/cli/near"
	"github.com/code-on-incus/coi/pkg/plain"
)

// Escape makes text from outside safe to print on one line: control, C1,
// bidi, zero-width and invalid bytes appear as \x1b or \u202e forms.
func Escape(s string) string { return plain.Escape(s) }

// EscapeKeepNewline is Escape for texts of several lines.
func EscapeKeepNewline(s string) string { return plain.EscapeKeepNewline(s) }

// Unprintable reports whether a rune may steer a terminal or hide text.
func Unprintable(r rune) bool { return plain.Unprintable(r) }

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
