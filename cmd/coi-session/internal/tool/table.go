// Package tool is the one table of agents: how each is started, resumed and run
// headless, what it needs from the host's home, what of it is saved, and which
// destinations it talks to. Nothing else in the house names a flag of an agent.
//
// Call order: Find (or Custom), Tool.Command for the argv, environment and
// standard input of a start; package seed reads Seeds, package save reads Save,
// the image build reads Package, Install and Checks.
package tool

import (
	"slices"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Kind says how package seed treats a file.
type Kind int

// Kinds of seeded files.
const (
	Plain      Kind = iota // copied as it is
	Settings               // JSON that coi's own keys are merged into
	Credential             // 0600; the only kind that is sent again at every start
	Context                // instructions that the auto-context block goes into
)

// Seed is a file that comes from the same place in the host's home.
type Seed struct {
	Path string // relative to the home
	Kind Kind
}

// Check is a help text of the agent and the words that must be in it; the image
// build fails naming a word that is gone.
type Check struct {
	Args  []string
	Words []string
}

// Tool is one row.
type Tool struct {
	Name       string
	Binary     string
	Package    string // npm package; empty for tools that npm does not have
	PyPI       string // package for pipx
	Seeds      []Seed
	Save       []string // directories below the home
	Domains    []string // exact names the tool needs; empty: depends on its provider
	Login      string   // hint when a credential is missing
	Link       string   // file below the home that is a link to SANDBOX_CONTEXT.md
	ReadFlag   string   // flag that takes a context file
	Env        map[string]string
	Bypass     []string // flags of permission mode bypass
	Ask        []string // flags of permission mode interactive
	Checks     []Check
	ModelEnv   string
	ModelFlag  string
	EffortEnv  string
	EffortFlag []string // the effort is appended to the last word
	SystemFlag string   // takes a file with a system prompt; empty: not possible
	Project    Project
	forms      forms
}

// Project is the tool's configuration in a workspace, of a tool that ends with
// an error when it cannot write a file there: that place is read-only inside.
type Project struct {
	Dir   string // of the workspace
	Wants string // file in Dir that the tool writes unless it is there
	Off   string // variable that, set to 1, makes the tool leave Dir alone
}

// forms are argument lists; {id} and {prompt_file} are replaced. A nil list
// means that there is no such form.
type forms struct {
	fresh, resume, latest               []string
	headless, headResume, headLatest    []string
	freshID                             bool // fresh takes {id} of coi's session
	promptByFile                        bool // else by standard input
	canResumeID, canLatest, canHeadless bool
}

// Names lists all tools in the order of the table, "custom" last.
func Names() []string {
	var out []string
	for _, t := range table() {
		out = append(out, t.Name)
	}
	return append(out, "custom")
}

// All is the table without the custom tool.
func All() []Tool { return table() }

// Find returns the row of that name. "custom" has no row: see Custom. The error
// has exit code 5 and lists the tools.
func Find(name string) (Tool, error) {
	all := table()
	if i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == name }); i >= 0 {
		return all[i], nil
	}
	e := cli.Fail(coi.ExitConfig, "unknown tool %q", cli.Escape(name))
	if near := cli.Near(name, Names()); len(near) > 0 {
		return Tool{}, e.Hint("did you mean %s?", near[0])
	}
	return Tool{}, e.Hint("one of %v", Names())
}

// Credentials are the seeded files of a tool that hold secrets; they are never saved.
func (t Tool) Credentials() []string {
	var out []string
	for _, s := range t.Seeds {
		if s.Kind == Credential {
			out = append(out, s.Path)
		}
	}
	return out
}

// CanHeadless reports whether the tool can answer one prompt and end.
func (t Tool) CanHeadless() bool { return t.forms.canHeadless }

// CanResume reports whether the tool can go on with an earlier conversation.
func (t Tool) CanResume() bool { return t.forms.canResumeID || t.forms.canLatest }

func seeds(kind Kind, paths ...string) []Seed {
	out := make([]Seed, len(paths))
	for i, p := range paths {
		out[i] = Seed{p, kind}
	}
	return out
}
