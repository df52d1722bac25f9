// Package command turns the arguments of an exec, and the text of scripts, into
// the simple commands they will run. It parses with a real shell parser, folds
// constants, follows pipelines and redirections, and never runs anything.
package command

// Command is what one exec stands for.
type Command struct {
	Simples []*Simple // in the order of the text, nested ones included
	Cut     bool      // a limit was reached; Text is all there is
	Text    string    // the shell text, if there was one
}

// Redir is one redirection after folding.
type Redir struct {
	FD   int    // descriptor that changes; for "&>" 1
	Op   string // "<", ">", ">>", "<>", "<&", ">&", "&>", "<<", "<<<", "<(" and ">("
	Path string // folded target
	Here string // text of a here-document or here-string
	Sub  []*Simple
}

// Simple is one simple command.
type Simple struct {
	Name string   // canonical program name: "nc" for /tmp/x when x was copied from nc
	Argv []string // folded words; Argv[0] as written
}
