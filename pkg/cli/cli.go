// Package cli is the frame of every command: it parses with kong, hands streams
// and a context to the verb, prints errors and hints in one form, and turns
// them into exit codes. Only this package and the commands above it print.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// Streams are the three standard streams and the environment of a command.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// Std returns the streams of the process.
func Std() Streams {
	return Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// Command is one verb: a kong grammar and its words. Grammar is a pointer to a
// struct that has a method Run(*Context) error, or whose subcommands have one.
type Command struct {
	Verb     string // "logs"; messages start with coi-<verb>
	Summary  string // one line
	Detail   string // further paragraphs of help, the last lines of which may be fixed by the spec
	Examples []string
	Exits    []string // exit codes beyond the common ones, "7  what it means"
	Grammar  any
	// Hint, when set, may answer a parse error with a better hint.
	Hint func(args []string, err error) string
}

// Globals are the options that every verb takes (cli.md 2.1); a grammar embeds them.
type Globals struct {
	Quiet   bool `short:"q" help:"No progress and no notes; warnings and errors stay."`
	NoColor bool `name:"no-color" help:"No colours, same as NO_COLOR=1."`
}

// Context is what a verb gets.
type Context struct {
	context.Context
	Streams
	Verb    string
	Quiet   bool
	NoColor bool

	mu   sync.Mutex
	live string // progress line on the terminal, to be wiped before other text
}

// Error is a failed command: what was being done, why, and what to do about it.
type Error struct {
	Code  int
	Text  string
	Lines []string // further problems, each printed as an error line of its own
	Hints []string
	Quiet bool // only the code matters; nothing is printed
	cause error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.cause }

// Fail makes an Error. %w keeps the cause.
func Fail(code int, format string, a ...any) *Error {
	err := fmt.Errorf(format, a...)
	return &Error{Code: code, Text: err.Error(), cause: errors.Unwrap(err)}
}

// Several is an error that lists problems of one kind, such as everything wrong
// with the configuration: one error line each, then the hints.
type Several interface {
	error
	Lines() []string
	Hints() []string
	ExitCode() int
}

// Usage is a wrong use of the command: exit 2, and the synopsis is printed.
func Usage(format string, a ...any) *Error { return Fail(coi.ExitUsage, format, a...) }

// Exit ends the command with a code and no message.
func Exit(code int) *Error { return &Error{Code: code, Quiet: true} }

// Hint adds a line of advice.
func (e *Error) Hint(format string, a ...any) *Error {
	e.Hints = append(e.Hints, fmt.Sprintf(format, a...))
	return e
}

// Main runs one of commands and returns the exit code. The verb is the base
// name of args[0] without "coi-"; when that is no verb of ours, the first
// argument is (a program may be called by its own name). A sole command needs
// no name.
func Main(args []string, s Streams, commands ...Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	// A reader that has seen enough makes a write fail instead of killing us;
	// caught and not ignored, so that programs we start have the default again.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	return Run(ctx, args, s, commands...)
}

// Run is Main with a context of the caller's.
func Run(ctx context.Context, args []string, s Streams, commands ...Command) int {
	base := baseName(args[0])
	rest := args[1:]
	cmd, ok := pick(commands, strings.TrimPrefix(base, "coi-"))
	if !ok && len(commands) == 1 {
		cmd, ok = commands[0], true
	}
	if !ok && len(rest) > 0 {
		if cmd, ok = pick(commands, rest[0]); ok {
			rest = rest[1:]
		}
	}
	if !ok {
		return unknownVerb(base, rest, s, commands)
	}
	c := &Context{Context: ctx, Streams: s, Verb: cmd.Verb}
	if len(rest) > 0 && rest[0] == "__complete" {
		complete(cmd, rest[1:], s)
		return coi.ExitOK
	}
	return c.exit(cmd, c.parseAndRun(cmd, rest))
}

func baseName(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

func pick(commands []Command, verb string) (Command, bool) {
	for _, c := range commands {
		if c.Verb == verb {
			return c, true
		}
	}
	return Command{}, false
}

func unknownVerb(base string, rest []string, s Streams, commands []Command) int {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Verb
	}
	if len(rest) > 0 && (rest[0] == "--help" || rest[0] == "-h") {
		for _, c := range commands {
			_, _ = fmt.Fprintf(s.Stdout, "%-12s %s\n", c.Verb, c.Summary)
		}
		return coi.ExitOK
	}
	what := "no verb given"
	if len(rest) > 0 {
		what = fmt.Sprintf("unknown verb %q", Escape(rest[0]))
	}
	_, _ = fmt.Fprintf(s.Stderr, "%s: error: %s\nhint: one of %s\n", base, what, strings.Join(names, " "))
	return coi.ExitUsage
}

// errHelp ends parsing after help was printed.
var errHelp = errors.New("help printed")

func (c *Context) parseAndRun(cmd Command, args []string) (err error) {
	helped := false
	parser, err := newParser(cmd, c.Streams, func() { helped = true })
	if err != nil {
		return err
	}
	kctx, err := parser.Parse(args)
	if helped {
		return errHelp
	}
	if err != nil {
		e := Usage("%s", Escape(err.Error()))
		if h, ok := takersHint(err); ok {
			e.Hints = append(e.Hints, h)
		}
		if cmd.Hint != nil {
			if h := cmd.Hint(args, err); h != "" {
				e.Hints = append(e.Hints, h)
			}
		}
		return e
	}
	if g := findGlobals(cmd.Grammar); g != nil {
		c.Quiet, c.NoColor = g.Quiet, g.NoColor
	}
	return kctx.Run(c)
}

func newParser(cmd Command, s Streams, onHelp func()) (*kong.Kong, error) {
	return kong.New(cmd.Grammar,
		kong.Name("coi "+cmd.Verb),
		kong.Description(cmd.Summary),
		kong.Writers(s.Stdout, s.Stderr),
		kong.Exit(func(int) { onHelp() }),
		kong.Help(func(_ kong.HelpOptions, k *kong.Context) error { return printHelp(cmd, s.Stdout, k) }),
		kong.ShortHelp(func(_ kong.HelpOptions, k *kong.Context) error { return printHelp(cmd, s.Stdout, k) }),
	)
}

// exit prints err and turns it into an exit code.
func (c *Context) exit(cmd Command, err error) int {
	c.wipe()
	switch {
	case err == nil, errors.Is(err, errHelp):
		return coi.ExitOK
	case errors.Is(err, unix.EPIPE):
		return coi.ExitOK // the reader of our output has seen enough
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: coi.ExitFailed, Text: err.Error()}
		var he *home.Error
		var several Several
		switch {
		case errors.As(err, &several):
			e.Code, e.Text, e.Lines, e.Hints = several.ExitCode(), "", several.Lines(), several.Hints()
		case errors.As(err, &he):
			e.Code, e.Hints = coi.ExitConfig, []string{he.Hint}
		case errors.Is(err, context.Canceled) && c.Err() != nil:
			e.Code, e.Text = coi.ExitInterrupted, "interrupted"
		}
	}
	if e.Quiet {
		return e.Code
	}
	for _, text := range append([]string{e.Text}, e.Lines...) {
		if text != "" {
			c.say("error", text)
		}
	}
	if e.Code == coi.ExitUsage && e.Text != "" {
		_, _ = fmt.Fprintln(c.Stderr, "usage: "+synopsis(cmd))
	}
	for _, h := range e.Hints {
		_, _ = fmt.Fprintln(c.Stderr, "hint: "+EscapeKeepNewline(h))
	}
	return e.Code
}

func (c *Context) say(kind, text string) {
	c.wipe()
	_, _ = fmt.Fprintf(c.Stderr, "coi-%s: %s: %s\n", c.Verb, kind, Escape(text))
}

// Warn prints a warning, with advice if there is any.
func (c *Context) Warn(text string, hints ...string) {
	c.say("warning", text)
	c.advise(hints)
}

// Note prints a note, unless --quiet was given.
func (c *Context) Note(text string, hints ...string) {
	if !c.Quiet {
		c.say("note", text)
		c.advise(hints)
	}
}

func (c *Context) advise(hints []string) {
	for _, h := range hints {
		_, _ = fmt.Fprintln(c.Stderr, "hint: "+Escape(h))
	}
}

// Home is the layout of ~/.coi for this command's environment.
func (c *Context) Home() (home.Home, error) { return home.Find(c.Getenv) }
