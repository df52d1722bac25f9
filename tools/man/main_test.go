package main

import (
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	got := string(page("coi-x", "do x", "2026-01-02", "coi x: do x\n\nFlags:\n  -f  back\\slash\n.dot\n'quote\n  note:  two blanks:\n"))
	for _, want := range []string{
		".TH COI-X 1 \"2026\\-01\\-02\"", "coi\\-x \\- do x", ".SH \"FLAGS\"", "back\\eslash", "\\&.dot", "\\&'quote",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("page lacks %q:\n%s", want, got)
		}
	}
	if strings.Count(got, ".SH") != 4 {
		t.Errorf("page has %d headings; want NAME, DESCRIPTION, FLAGS and SEE ALSO:\n%s", strings.Count(got, ".SH"), got)
	}
}

func TestCommandsOfHelp(t *testing.T) {
	text := "usage: coi x\n\nx\n\ncommands:\n  one     does it\n  two     undoes it\n\nflags:\n  -h  help\n"
	if got := strings.Join(commands(text), " "); got != "one two" {
		t.Errorf("commands = %q; want one two", got)
	}
	if got := own("usage: a\n\nflags:\n  -f\n\nexamples:\n  coi a\n"); got != "usage: a\n\nflags:\n  -f\n" {
		t.Errorf("own = %q", got)
	}
}
