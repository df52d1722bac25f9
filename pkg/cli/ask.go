package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
)

// Consent is the flag pair of every question; a grammar embeds it.
type Consent struct {
	Force bool `short:"f" help:"Do not ask."`
	Yes   bool `short:"y" help:"Same as --force."`
}

// Given reports whether the question is answered already.
func (q Consent) Given() bool { return q.Force || q.Yes }

// Ask puts a yes-or-no question. Off a terminal it is an error with the hint to
// add --force; a "no" is an error of exit 1. Yes returns nil.
func (c *Context) Ask(q Consent, format string, a ...any) error {
	if q.Given() {
		return nil
	}
	if !IsTerminal(c.Stdin) {
		return Fail(coi.ExitUsage, "%s: an answer is needed and there is no terminal", EscapeKeepNewline(fmt.Sprintf(format, a...))).Hint("add --force")
	}
	c.wipe()
	_, _ = fmt.Fprintf(c.Stderr, "%s [y/N] ", EscapeKeepNewline(fmt.Sprintf(format, a...)))
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.Stdin).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-c.Done():
		_, _ = fmt.Fprintln(c.Stderr)
	case s := <-answers:
		if s == "y" || s == "yes" {
			return nil
		}
	}
	_, _ = fmt.Fprintln(c.Stderr, "nothing changed")
	return Exit(coi.ExitFailed)
}
