package tool

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// PromptDir is where prompts are staged in the container; files 0600 of the code user.
const PromptDir = "/run/coi/prompts"

// Start is one way to start a tool.
type Start struct {
	SessionID        string // coi's id of the session; tools that can take it get it
	ResumeID         string // the tool's own id of an earlier conversation
	Latest           bool   // go on with the newest conversation
	Headless         bool
	PromptFile       string // inside path; with Headless
	SystemPromptFile string // inside path
	ContextFile      string // inside path of SANDBOX_CONTEXT.md; for tools with a read flag
	Interactive      bool   // permission_mode = "interactive"
	Model, Effort    string
	Binary           string // tool.binary; empty: the tool's own
	Home             string // inside
}

// Spec is a start ready to be executed.
type Spec struct {
	Command []string
	Env     map[string]string
	Stdin   string // inside path of the file to be read as standard input; empty: the terminal or nothing
	Latest  bool   // a resume by id was asked for and the "latest" form is used instead
}

// Command makes the argv. Asking for a form that the tool does not have is an
// error with exit code 2.
func (t Tool) Command(s Start) (Spec, error) {
	if s.Headless && !t.forms.canHeadless {
		return Spec{}, cli.Usage("%s has no headless form", t.Name)
	}
	if s.Headless && s.Interactive {
		return Spec{}, cli.Usage("a prompt needs permission_mode = \"bypass\": nobody is there to answer")
	}
	if s.SystemPromptFile != "" && t.SystemFlag == "" {
		return Spec{}, cli.Usage("%s takes no system prompt file", t.Name)
	}
	form, latest, err := t.form(s)
	if err != nil {
		return Spec{}, err
	}
	binary := t.Binary
	if s.Binary != "" {
		binary = s.Binary
	}
	sub, rest := split(form)
	spec := Spec{Command: slices.Concat([]string{binary}, sub, t.flags(s), rest), Env: t.env(s), Latest: latest}
	for i, w := range spec.Command {
		spec.Command[i] = strings.NewReplacer("{id}", s.id(), "{prompt_file}", s.PromptFile).Replace(w)
	}
	if s.Headless && !t.forms.promptByFile {
		spec.Stdin = s.PromptFile
	}
	return spec, nil
}

func (s Start) id() string {
	if s.ResumeID != "" {
		return s.ResumeID
	}
	return s.SessionID
}

// form picks the argument list; latest is set when a resume by id falls back.
func (t Tool) form(s Start) (form []string, latest bool, err error) {
	f := t.forms
	fresh, byID, newest := f.fresh, f.resume, f.latest
	if s.Headless {
		fresh, byID, newest = f.headless, f.headResume, f.headLatest
	}
	switch {
	case s.ResumeID != "" && byID != nil:
		return byID, false, nil
	case s.ResumeID != "" || s.Latest:
		if newest == nil {
			return nil, false, cli.Usage("%s cannot go on with an earlier conversation", t.Name)
		}
		return newest, s.ResumeID != "", nil
	}
	return fresh, false, nil
}

// split takes the subcommand words from the front of a form, since flags that
// belong to a subcommand stand behind it.
func split(form []string) (sub, rest []string) {
	i := 0
	for i < len(form) && form[i] != "-" && form[i] != "" && !strings.HasPrefix(form[i], "-") && !strings.HasPrefix(form[i], "{") {
		i++
	}
	return form[:i], form[i:]
}

func (t Tool) flags(s Start) []string {
	out := slices.Clone(t.Bypass)
	if s.Interactive {
		out = slices.Clone(t.Ask)
	}
	if s.Model != "" && t.ModelFlag != "" {
		out = append(out, t.ModelFlag, s.Model)
	}
	if n := len(t.EffortFlag); s.Effort != "" && n > 0 {
		out = append(append(out, t.EffortFlag[:n-1]...), t.EffortFlag[n-1]+s.Effort)
	}
	if s.SystemPromptFile != "" {
		out = append(out, t.SystemFlag, s.SystemPromptFile)
	}
	if s.ContextFile != "" && t.ReadFlag != "" {
		out = append(out, t.ReadFlag, s.ContextFile)
	}
	return out
}

// env is what the tool wants in its environment; the same goes into
// environment.* of the container, so that later execs see it. No secrets.
func (t Tool) env(s Start) map[string]string {
	env := maps.Clone(t.Env)
	if env == nil {
		env = map[string]string{}
	}
	for k, v := range env {
		env[k] = strings.ReplaceAll(v, "{home}", s.Home)
	}
	if s.Model != "" && t.ModelEnv != "" {
		env[t.ModelEnv] = s.Model
	}
	if s.Effort != "" && t.EffortEnv != "" {
		env[t.EffortEnv] = s.Effort
	}
	return env
}

// Argv is Command with standard input redirected from Stdin by a fixed shell
// line; nothing of the command becomes shell text.
func (s Spec) Argv() []string {
	if s.Stdin == "" {
		return s.Command
	}
	return append([]string{"sh", "-c", `exec "$@" <"$0"`, s.Stdin}, s.Command...)
}

// Custom is the tool described by [tool.custom].
type Custom struct {
	Command, ResumeCommand, PromptCommand []string
	ConfigDir                             string
	Files, Save, Domains                  []string
}

// New makes a row of it. Paths must lie under the home; an error has exit code 5.
func (c Custom) New() (Tool, error) {
	if len(c.Command) == 0 {
		return Tool{}, cli.Fail(coi.ExitConfig, "tool.custom.command is required when tool.name is \"custom\"")
	}
	t := Tool{Name: "custom", Binary: c.Command[0], Domains: c.Domains, Save: c.Save}
	t.forms = forms{fresh: c.Command[1:], headless: tail(c.PromptCommand), canHeadless: len(c.PromptCommand) > 0}
	t.forms.promptByFile = slices.ContainsFunc(c.PromptCommand, func(w string) bool { return strings.Contains(w, "{prompt_file}") })
	if len(c.ResumeCommand) > 0 {
		t.forms.resume, t.forms.canResumeID = tail(c.ResumeCommand), true
		if !slices.ContainsFunc(c.ResumeCommand, func(w string) bool { return strings.Contains(w, "{id}") }) {
			t.forms.latest, t.forms.canLatest, t.forms.resume, t.forms.canResumeID = t.forms.resume, true, nil, false
		}
	}
	if c.ConfigDir != "" && len(t.Save) == 0 {
		t.Save = []string{c.ConfigDir}
	}
	var bad []string
	for _, p := range slices.Concat(t.Save, c.Files) {
		if clean := path.Clean(p); p == "" || path.IsAbs(p) || clean != p || clean == ".." || strings.HasPrefix(clean, "../") || clean == "." {
			bad = append(bad, fmt.Sprintf("%q", cli.Escape(p)))
		}
	}
	if len(bad) > 0 {
		return Tool{}, cli.Fail(coi.ExitConfig, "tool.custom: not below the home: %s", strings.Join(bad, ", "))
	}
	t.Seeds = seeds(Plain, c.Files...)
	return t, nil
}

// tail leaves out the program, which the custom tool's forms share; it is never nil.
func tail(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	return append([]string{}, argv[1:]...)
}
