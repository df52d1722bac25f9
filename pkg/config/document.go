package config

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:generate go run ./gen ../..

// defaultsTOML is every default as one TOML file with comments. It is made from the
// schema; a test keeps the two in step.
//
//go:embed defaults.toml
var defaultsTOML string

// DefaultsTOML is the file of all built-in values.
func DefaultsTOML() string { return defaultsTOML }

// Starter is a main configuration file that sets nothing and explains every key.
func Starter() string {
	var b strings.Builder
	b.WriteString("# Configuration of coi. Every value below is the built-in one; remove the # in\n# front of a line to change it. coi validate checks this file.\n")
	for line := range strings.Lines(defaultsTOML) {
		if line != "\n" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "[") {
			b.WriteByte('#')
		}
		b.WriteString(line)
	}
	return b.String()
}

// WriteDefaults makes the text of DefaultsTOML from the schema.
func WriteDefaults() string {
	var order []string
	bySection := map[string]string{}
	for _, row := range Schema {
		sec := section(row.Key)
		if _, seen := bySection[sec]; !seen {
			order = append(order, sec)
		}
		bySection[sec] += defaultLines(row)
	}
	var b strings.Builder
	for _, sec := range order {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		if sec != "" {
			fmt.Fprintf(&b, "[%s]\n", sec)
		}
		b.WriteString(bySection[sec])
	}
	return b.String()
}

func defaultLines(row Row) string {
	if row.Kind == Map || row.Kind == Texts || row.Kind == Rules || row.Kind == Tables {
		return "# " + row.Doc + "\n" + example(row)
	}
	text := "# " + row.Doc
	if row.Rule.Words != "" {
		text += " Allowed: " + row.Rule.Words + "."
	}
	name := row.Key[strings.LastIndexByte(row.Key, '.')+1:]
	if row.Default == nil {
		return text + "\n# " + name + " is not set\n"
	}
	return text + "\n" + name + " = " + Format(row.Default) + "\n"
}

// example shows the form of a table in comments.
func example(row Row) string {
	switch row.Kind {
	case Map:
		return fmt.Sprintf("# [%s]\n# NAME = \"value\"\n", row.Key)
	case Texts:
		return fmt.Sprintf("# [%s]\n# NAME = \"text\"\n", row.Key)
	case Rules:
		return fmt.Sprintf("# [%s.\"~/DIR\"]\n# profile = \"NAME\"\n", row.Key)
	}
	var b strings.Builder
	key := row.Key
	if key == "mounts" {
		key = "mounts.default"
	}
	fmt.Fprintf(&b, "# [[%s]]\n", key)
	for _, f := range row.Fields {
		fmt.Fprintf(&b, "# %s: %s\n", f.Name, f.Doc)
	}
	return b.String()
}

var scopeWords = map[Scope]string{Free: "honoured", Tighten: "only stricter", Refuse: "refused", Gate: "waits for coi trust"}

// Table is the documentation of every key as Markdown.
func Table() string {
	var b strings.Builder
	last := "-"
	for _, row := range Schema {
		head, _, _ := strings.Cut(row.Key, ".")
		if head != last {
			fmt.Fprintf(&b, "\n## `%s`\n\n| Key | Type | Default | Allowed | From a project | Merging | Meaning |\n|---|---|---|---|---|---|---|\n", head)
			last = head
		}
		scope := scopeWords[row.Scope]
		if row.Tighter.Words != "" {
			scope += " (" + row.Tighter.Words + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", row.Key, row.Kind, cell(defaultCell(row)), cell(row.Rule.Words), cell(scope), row.Merge, cell(row.Doc))
		for _, f := range row.Fields {
			need := ""
			if f.Required {
				need = "required"
			} else if f.Default != nil {
				need = "`" + Format(f.Default) + "`"
			}
			fmt.Fprintf(&b, "| – `%s` | %s | %s | %s | | | %s |\n", f.Name, f.Kind, need, cell(f.Rule.Words), cell(f.Doc))
		}
	}
	return b.String()
}

func defaultCell(row Row) string {
	switch {
	case row.Default == nil:
		return "–"
	case row.Kind == List && len(row.Default.([]string)) > 3:
		return fmt.Sprintf("%d entries, see `coi config show %s`", len(row.Default.([]string)), row.Key)
	}
	return "`" + Format(row.Default) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// Scopes lists the keys by what a project may do with them.
func Scopes() string {
	var b strings.Builder
	for _, s := range []Scope{Refuse, Gate, Tighten, Free} {
		fmt.Fprintf(&b, "## %s: %s\n\n", map[Scope]string{Refuse: "Refused", Gate: "Gated", Tighten: "Tightening", Free: "Free"}[s], scopeSentence[s])
		var keys []string
		for _, row := range Schema {
			if row.Scope == s {
				keys = append(keys, "`"+row.Key+"`")
			}
		}
		slices.Sort(keys)
		b.WriteString(strings.Join(keys, ", ") + "\n\n")
	}
	return b.String()
}

var scopeSentence = map[Scope]string{
	Refuse: "dropped with a warning when a project sets them", Gate: "ignored until `coi trust`",
	Tighten: "honoured when at least as strict as your own value, else dropped with a warning", Free: "honoured",
}

// Manual is the page docs/configuration.md.
func Manual() string {
	return "# Configuration\n\n" +
		"Made from the schema by `go generate ./pkg/config`; do not edit.\n\n" +
		"Files, lowest first: built-in values, `~/.coi/config.toml`, the project's `.coi/config.toml`, the file of `COI_CONFIG`, one profile with its parents, typed flags.\n" +
		"`coi config show --origin` says for every value where it comes from.\n\n" +
		"Merging: S the last layer that sets it wins, L the same for lists, U union (a profile's list replaces its parent's), UU union always, M key by key (`\"\"` removes), P appended, N by name.\n" +
		Table() + "\n# What a project may set\n\n" + Scopes() +
		"Of `defaults.environment`, names that redirect traffic or code wait for `coi trust`: `" + strings.Join(steering, "` `") + "`.\n\n" +
		"# The built-in profile hardened\n\nIt only tightens: what your own configuration has stricter stays.\n\n```toml profile\n" + hardened + "```\n"
}
