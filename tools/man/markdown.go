package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
)

// whole is the help of a verb followed by that of each of its commands.
func whole(bin, verb string) (string, error) {
	text, err := help(bin, "help", verb)
	if err != nil {
		return "", err
	}
	more, err := below(bin, []string{verb}, text)
	return text + more, err
}

// below is the help of the commands that a help lists, and of theirs.
func below(bin string, path []string, text string) (string, error) {
	var all strings.Builder
	for _, sub := range commands(text) {
		words := append(slices.Clone(path), sub)
		one, err := help(bin, append([]string{"help"}, words...)...)
		if err != nil {
			return "", err
		}
		more, err := below(bin, words, one)
		if err != nil {
			return "", err
		}
		all.WriteString("\ncoi " + strings.Join(words, " ") + ":\n\n" + own(one) + more)
	}
	return all.String(), nil
}

// commands reads the names of the list under "commands:".
func commands(text string) (names []string) {
	_, list, found := strings.Cut(text, "\ncommands:\n")
	if !found {
		return nil
	}
	for line := range strings.Lines(list) {
		name := strings.Fields(line)
		if len(name) == 0 {
			break
		}
		names = append(names, name[0])
	}
	return names
}

// own is the help of a command without what it shares with its verb.
func own(text string) string {
	text, _, _ = strings.Cut(text, "\nexamples:\n")
	text, _, _ = strings.Cut(text, "\nexit codes:")
	return text
}

// markdown writes a page of each tool and one that lists them.
func markdown(bin, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tools := map[string][]verbs.Verb{}
	for _, v := range verbs.All {
		tools[v.Program] = append(tools[v.Program], v)
	}
	var names []string
	for name := range tools {
		names = append(names, name)
	}
	slices.Sort(names)
	var index bytes.Buffer
	index.WriteString("# The tools\n\nMade by `make docs` from the help of the programs.\n\n| tool | verbs |\n|---|---|\n")
	for _, name := range names {
		page, err := toolPage(bin, name, tools[name])
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".md"), page, 0o644); err != nil {
			return err
		}
		var words []string
		for _, v := range tools[name] {
			words = append(words, "`"+v.Name+"`")
		}
		_, _ = fmt.Fprintf(&index, "| [%s](%s.md) | %s |\n", name, name, strings.Join(words, " "))
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), index.Bytes(), 0o644)
}

func toolPage(bin, name string, list []verbs.Verb) ([]byte, error) {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "# %s\n\nMade by `make docs` from the help of the program.\n", name)
	if name == "coi" {
		text, err := help(bin, "help")
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(&b, "\n```text\n%s```\n", text)
	}
	for _, v := range list {
		text, err := whole(bin, v.Name)
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(&b, "\n## coi %s\n\n%s.\n\n```text\n%s```\n", v.Name, strings.ToUpper(v.Summary[:1])+v.Summary[1:], strings.TrimRight(text, "\n")+"\n")
	}
	return b.Bytes(), nil
}
