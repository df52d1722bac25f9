package cli

import (
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

// CommonExits are the exit codes every verb shares (cli.md 3.1).
const CommonExits = "0 done, 1 failed, 2 wrong use, 3 Incus unreachable, 4 no such container, 5 bad configuration, 130 interrupted"

func synopsis(cmd Command) string {
	parser, err := newParser(cmd, Streams{Stdout: io.Discard, Stderr: io.Discard}, func() {})
	if err != nil {
		return "coi " + cmd.Verb
	}
	return nodeSynopsis(parser.Model.Node, "coi "+cmd.Verb)
}

func nodeSynopsis(n *kong.Node, path string) string {
	s := path
	if len(n.AllFlags(true)) > 0 {
		s += " [FLAGS]"
	}
	if len(n.Children) > 0 {
		return s + " COMMAND"
	}
	for _, a := range n.Positional {
		name := strings.ToUpper(strings.ReplaceAll(a.Name, "-", "_"))
		if a.Target.Kind() == reflect.Slice {
			name += "…"
		}
		if !a.Required {
			name = "[" + name + "]"
		}
		s += " " + name
	}
	return s
}

func printHelp(cmd Command, w io.Writer, k *kong.Context) error {
	node := k.Selected()
	path := "coi " + cmd.Verb
	if node == nil {
		node = k.Model.Node
	} else if node != k.Model.Node {
		path = "coi " + cmd.Verb + " " + strings.TrimSpace(strings.TrimPrefix(node.Path(), "coi "+cmd.Verb))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n", nodeSynopsis(node, path))
	summary := cmd.Summary
	if node != k.Model.Node && node.Help != "" {
		summary = node.Help
	}
	fmt.Fprintf(&b, "%s\n", summary)
	if len(node.Children) > 0 {
		b.WriteString("\ncommands:\n")
		for _, ch := range node.Children {
			if !ch.Hidden {
				fmt.Fprintf(&b, "  %-14s %s\n", ch.Name, ch.Help)
			}
		}
	}
	writeFlags(&b, node)
	if len(cmd.Examples) > 0 {
		b.WriteString("\nexamples:\n")
		for _, e := range cmd.Examples {
			fmt.Fprintf(&b, "  %s\n", e)
		}
	}
	fmt.Fprintf(&b, "\nexit codes: %s\n", CommonExits)
	for _, e := range cmd.Exits {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	if cmd.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(cmd.Detail))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFlags(b *strings.Builder, node *kong.Node) {
	var rows [][2]string
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			rows = append(rows, [2]string{flagLabel(f), flagHelp(f)})
		}
	}
	if len(rows) == 0 {
		return
	}
	sort.SliceStable(rows, func(i, j int) bool { return strings.TrimLeft(rows[i][0], " -") < strings.TrimLeft(rows[j][0], " -") })
	b.WriteString("\nflags:\n")
	for _, r := range rows {
		fmt.Fprintf(b, "  %-28s %s\n", r[0], r[1])
	}
}

func flagLabel(f *kong.Flag) string {
	s := "    "
	if f.Short != 0 {
		s = "-" + string(f.Short) + ", "
	}
	s += "--" + f.Name
	if !f.IsBool() && !f.IsCounter() {
		s += " " + strings.ToUpper(strings.Trim(f.FormatPlaceHolder(), `"`))
	}
	return s
}

func flagHelp(f *kong.Flag) string {
	if f.HasDefault && f.Default != "" && f.Default != "false" {
		return f.Help + " (" + f.Default + ")"
	}
	return f.Help
}

// findGlobals looks for an embedded Globals in a grammar.
func findGlobals(grammar any) *Globals {
	v := reflect.ValueOf(grammar)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return globalsIn(v, 0)
}

func globalsIn(v reflect.Value, depth int) *Globals {
	if v.Kind() != reflect.Struct || depth > 4 {
		return nil
	}
	for i := range v.NumField() {
		f := v.Field(i)
		field := v.Type().Field(i)
		if !f.CanAddr() || !field.IsExported() && !field.Anonymous {
			continue
		}
		if field.IsExported() {
			if g, ok := f.Addr().Interface().(*Globals); ok {
				return g
			}
		}
		// What an embedded type exports is reachable although its own name is not.
		if field.Anonymous {
			if g := globalsIn(f, depth+1); g != nil {
				return g
			}
		}
	}
	return nil
}

// complete prints candidates for the last of words, one a line. A grammar may
// implement Completer to offer values of its own. Nothing is printed on failure.
func complete(cmd Command, words []string, s Streams) {
	parser, err := newParser(cmd, Streams{Stdout: io.Discard, Stderr: io.Discard}, func() {})
	if err != nil {
		return
	}
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	node := parser.Model.Node
	for _, w := range words {
		for _, ch := range node.Children {
			if ch.Name == w {
				node = ch
			}
		}
	}
	offer := func(word, help string) {
		if strings.HasPrefix(word, last) {
			_, _ = fmt.Fprintf(s.Stdout, "%s\t%s\n", Escape(word), Escape(help))
		}
	}
	if strings.HasPrefix(last, "-") {
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				offer("--"+f.Name, f.Help)
			}
		}
		return
	}
	for _, ch := range node.Children {
		if !ch.Hidden {
			offer(ch.Name, ch.Help)
		}
	}
	if c, ok := cmd.Grammar.(Completer); ok {
		for _, cand := range c.Complete(s, words, last) {
			offer(cand[0], cand[1])
		}
	}
}

// Completer offers values for the word being typed: pairs of value and
// description. It must not contact Incus and must end within 50 ms.
type Completer interface {
	Complete(s Streams, before []string, last string) [][2]string
}
