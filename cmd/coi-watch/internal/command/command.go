// Package command turns the arguments of an exec, and the text of scripts, into
// the simple commands they will run. It parses with a real shell parser, folds
// constants, follows pipelines, redirections and data through variables and
// files, and never runs anything.
package command

import (
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// Limits of one command. What is over them sets Command.Cut.
const (
	MaxText   = 64 << 10
	MaxNodes  = 2000
	MaxDepth  = 8
	maxServed = 1 << 20 // bytes that expansions may hand out in all
)

// Command is what one exec stands for.
type Command struct {
	Simples []*Simple // in the order of the text, nested ones included
	Cut     bool      // a limit was reached, or the text is no shell; Text is all there is
	Text    string    // the shell text, if there was one
}

// Redir is one redirection after folding.
type Redir struct {
	FD   int    // descriptor that changes; 1 for "&>"
	Op   string // "<", ">", ">>", "<>", "<&", ">&", "&>", "&>>", "<<", "<<<"
	Path string // folded target: a path, or a descriptor number
	Here string // text of a here-document or here-string
}

// Assign is a variable set for one command.
type Assign struct{ Name, Value string }

// Simple is one simple command.
type Simple struct {
	Name string   // canonical program name: "nc" for /tmp/x when x was copied from nc
	Prog string   // the word that named the program, folded
	Argv []string // folded words; Argv[0] is Prog
	CWD  string   // folder it runs in, as far as known

	Redirs []Redir
	Env    []Assign       // prefix assignments and those of env
	FDs    map[int]string // where descriptors lead after all redirections: a path, "pipe", or missing

	Pipe, Pos, Len int  // pipeline number (0: none), position and length of it
	Background     bool // ends in &
	Loop           bool // inside while, until or for
	Subst          bool // inside a command or process substitution
	Func           string
	Scope          int  // commands of one parent and one scope run one after the other; a branch, loop, pipeline, subshell or function is another
	Dynamic        bool // the program name comes from a variable or command that is not known
	Remote, Nested bool // runs on another host, in another container
	Root           bool // under sudo, doas or su
	Decoded        bool // its text came out of a decoder
	Loader         bool // named through the loader, /proc/*/root or /proc/*/fd
	Renamed        bool // runs under another name than its own
	DecodedName    bool // the word that names the program came out of a decoder

	Parent *Simple // whose argument it is: sh -c, xargs, find -exec, sudo; nil at the top
	Owner  *Simple // whose word holds the substitution it is in

	Stdin []*Simple // commands whose output reaches its standard input, transitively
	From  []*Simple // commands whose output is in its words, transitively
	Feed  string    // constant text on its standard input, if known
	Fed   bool      // Feed is known

	Code []Code // inline code of an interpreter

	wordFrom     [][]*Simple // sources of each word
	started      bool        // by another program
	wordDec      []bool      // whether each came out of a decoder
	feedProg     string      // program whose bytes are on its standard input
	touched      []Access
	hosts        []string
	parsed       *program.Parsed
	wordsDecoded bool   // a word came out of a decoder
	classed      string // name whose class is kept
	class        program.Class
}

// Code is program text in a command line, here-document or file.
type Code struct {
	Lang    string // canonical interpreter: "python"; "" when only its shape is known
	Text    string
	Decoded bool // contains decoded text, or came out of a decoder
	File    bool // the text of a file that was there before: any large program
}

// Class is the class of the program.
func (s *Simple) Class() program.Class {
	if s.classed != s.Name {
		s.classed, s.class = s.Name, program.ClassOf(s.Name)
	}
	return s.class
}

// Line is the command as one line, for messages.
func (s *Simple) Line() string { return strings.Join(s.Argv, " ") }

// Parsed reads the arguments by the program's own option table.
func (s *Simple) Parsed() program.Parsed {
	if s.parsed == nil {
		p := program.Parse(program.SpecOf(s.Name), s.Argv, false)
		s.parsed = &p
	}
	return *s.parsed
}

// Inputs are all commands whose output reaches s by pipe, substitution,
// variable or file.
func (s *Simple) Inputs() []*Simple {
	return append(append([]*Simple(nil), s.Stdin...), s.From...)
}

// Sources are the commands whose output stands in word i of Argv.
func (s *Simple) Sources(i int) []*Simple {
	i += len(s.wordFrom) - len(s.Argv) // words may have been taken away in front
	if i < 0 || i >= len(s.wordFrom) {
		return nil
	}
	return s.wordFrom[i]
}

// Is reports whether the program is one of names (canonical).
func (s *Simple) Is(names ...string) bool {
	return slices.Contains(names, s.Name)
}

// Arg reports whether a word of the arguments equals one of words.
func (s *Simple) Arg(words ...string) bool {
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if slices.Contains(words, a) {
			return true
		}
	}
	return false
}

// Env is what is known about where a command runs.
type Env struct {
	Home, User, CWD string
	Script          string              // text of the script file that runs, if any
	ScriptPath      string              // its path
	ExeIs           string              // canonical program by content of the file that runs
	Resolve         func(string) string // content identity of a path: name of the program, or ""
	Read            func(string) string // text of a script file, or ""
}
