package cli

import (
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
func ShellQuote(s string) string { return plain.ShellQuote(s) }

// Near is near.Words, for the commands.
func Near(s string, words []string) []string { return near.Words(s, words) }
