package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
)

// Problem is one thing wrong with one file.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 when the file as a whole is meant
	Key          string
	Problem      string
	Hint         string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:", p.Line)
		}
		b.WriteByte(' ')
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Problem)
	return b.String()
}

// Error lists every problem that was found in one run. Commands end with the
// exit code of a configuration error.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is the exit code of a configuration error.
func (e *Error) ExitCode() int { return coi.ExitConfig }

// Lines are the problems, one line each. Where they differ in what to do, each
// line says it.
func (e *Error) Lines() []string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
		if p.Hint != "" && e.mixed() {
			lines[i] += " (" + p.Hint + ")"
		}
	}
	return lines
}

// Hints is the one hint that follows the problems.
func (e *Error) Hints() []string {
	switch {
	case e.mixed():
		return []string{"coi validate"}
	case len(e.Problems) > 0 && e.Problems[0].Hint != "":
		return []string{e.Problems[0].Hint}
	}
	return nil
}

func (e *Error) mixed() bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Hint != e.Problems[0].Hint })
}

// problems collects.
type problems []Problem

func (ps *problems) add(p Problem) {
	if !slices.Contains(*ps, p) {
		*ps = append(*ps, p)
	}
}

func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return &Error{ps}
}
