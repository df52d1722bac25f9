package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/near"
)

// freeTable reads a table whose names the user chooses.
func (dec *decoder) freeTable(row *Row, key string, path []string, v any) {
	t, ok := v.(map[string]any)
	if !ok {
		dec.problem(path, key, "allowed: "+row.Rule.Words, "must be a table")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		p := append(slices.Clone(path), name)
		full := key + "." + bareOrQuoted(name)
		switch {
		case row.Key == "defaults.environment" || row.Key == "defaults.env_commands":
			if !matches(envPattern, name) {
				dec.problem(p, full, "letters, digits and _, not starting with a digit", "%q is no name of a variable", name)
				continue
			}
		case row.Key == "prompts" && !ValidProfileName(name):
			dec.problem(p, full, nameWords, "%q is no name of a prompt", name)
			continue
		}
		dec.freeEntry(row, full, p, name, t[name])
	}
}

func (dec *decoder) freeEntry(row *Row, full string, path []string, name string, v any) {
	switch row.Kind {
	case Rules:
		dec.workspace(row, full, path, name, v)
	case Texts:
		if t, ok := v.(map[string]any); ok {
			file, isText := t["file"].(string)
			if !isText || len(t) != 1 || checkText(file) != nil {
				dec.problem(path, full, `write { file = "PATH" }`, "must be a text or { file = PATH }")
				return
			}
			dec.set(row, full, path, Prompt{File: dec.companion("prompts", file)})
			return
		}
		if s, ok := dec.scalar(Text, row.Rule, full, path, v); ok {
			if len(s.(string)) > maxFile {
				dec.problem(path, full, "put it in a file", "over 1 MiB")
				return
			}
			dec.set(row, full, path, Prompt{Text: s.(string)})
		}
	default:
		if s, ok := dec.scalar(Text, row.Rule, full, path, v); ok {
			dec.set(row, full, path, s)
		}
	}
}

func (dec *decoder) workspace(row *Row, full string, path []string, dir string, v any) {
	t, ok := v.(map[string]any)
	if abs := dec.h.Expand(dir); !strings.HasPrefix(abs, "/") {
		dec.problem(path, full, `write [workspaces."/path"] or [workspaces."~/path"]`, "%q is not an absolute path", dir)
		return
	}
	if !ok {
		dec.problem(path, full, `write profile = "NAME"`, "must be a table with profile")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(t)) {
		p := append(slices.Clone(path), k)
		if k != "profile" {
			dec.problem(p, full+"."+k, "did you mean "+full+".profile?", "unknown key")
			continue
		}
		if s, ok := dec.scalar(Text, Rule{Words: "a profile name", Check: checkProfileName}, full+".profile", p, t[k]); ok {
			dec.set(row, full+".profile", p, s)
		}
	}
}

// tables reads a list of tables with fixed fields.
func (dec *decoder) tables(row *Row, key string, path []string, v any) {
	items, ok := v.([]any)
	if !ok {
		dec.problem(path, key, fmt.Sprintf("write [[%s]]", key), "must be a list of tables")
		return
	}
	out, good := make([]elem, 0, len(items)), true
	for i, item := range items {
		p := append(slices.Clone(path), strconv.Itoa(i))
		t, ok := item.(map[string]any)
		if !ok {
			dec.problem(p, key, fmt.Sprintf("write [[%s]]", key), "must be a table")
			good = false
			continue
		}
		fields, ok := dec.fields(row, key, p, t)
		// Over layers the same name replaces; within one file it is a mistake.
		if row.Merge == ByName && ok && slices.ContainsFunc(out, func(e elem) bool { return e.v.(map[string]any)["name"] == fields["name"] }) {
			dec.problem(p, key+".name", "give each its own name", "%q is used twice", fields["name"])
			ok = false
		}
		good = good && ok
		out = append(out, elem{v: fields, pos: dec.d.at(p...), src: dec.d.src})
	}
	if good {
		dec.set(row, key, path, out)
	}
}

func (dec *decoder) fields(row *Row, key string, path []string, t map[string]any) (map[string]any, bool) {
	out, good := map[string]any{}, true
	for _, name := range slices.Sorted(maps.Keys(t)) {
		i := slices.IndexFunc(row.Fields, func(f Field) bool { return f.Name == name })
		p := append(slices.Clone(path), name)
		if i < 0 {
			dec.problem(p, key+"."+name, fieldHint(row, key, name), "unknown key")
			good = false
			continue
		}
		f := row.Fields[i]
		v, ok := dec.field(f, key+"."+name, p, t[name])
		good = good && ok
		out[name] = v
	}
	for _, f := range row.Fields {
		_, given := out[f.Name]
		if f.Required && !given {
			dec.problem(path, key+"."+f.Name, "add "+f.Name+" = …", "is required")
			good = false
		}
		if _, bundle := out["bundle"]; !given && f.Default != nil && !bundle {
			out[f.Name] = f.Default
		}
	}
	return out, dec.together(row, key, path, t) && good
}

func fieldHint(row *Row, key, name string) string {
	var names []string
	for _, f := range row.Fields {
		names = append(names, f.Name)
	}
	if n := near.Words(name, names); len(n) > 0 {
		return "did you mean " + key + "." + n[0] + "?"
	}
	return "allowed: " + strings.Join(names, " ")
}

func (dec *decoder) field(f Field, key string, path []string, v any) (any, bool) {
	switch f.Kind {
	case List, PortList:
		list, ok := dec.list(f.Kind, f.Rule, key, path, v)
		if ok && f.Required && len(list) == 0 {
			dec.problem(path, key, "allowed: "+f.Rule.Words, "is empty")
			return nil, false
		}
		return texts(list), ok
	case Path:
		s, ok := dec.scalar(Path, f.Rule, key, path, v)
		if !ok {
			return nil, false
		}
		abs := absolute(dec.h, dec.d.src.hostDir, s.(string))
		if why := ForbiddenHost(abs); why != "" {
			dec.problem(path, key, "mount a directory below it", "%q %s", s, why)
			return nil, false
		}
		return abs, true
	}
	return dec.scalar(f.Kind, f.Rule, key, path, v)
}

// together checks fields that depend on each other.
func (dec *decoder) together(row *Row, key string, path []string, t map[string]any) bool {
	has := func(name string) bool { _, ok := t[name]; return ok }
	switch row.Key {
	case "credentials":
		one := has("bundle") && !has("host") && !has("container") && !has("mode")
		if !one && (has("bundle") || !has("host") || !has("container")) {
			dec.problem(path, key, "write bundle, or host and container", "must be either a bundle or a file")
			return false
		}
	case "network.hosts":
		if t["ip"] == "host" && !has("ports") {
			dec.problem(path, key+".ports", "add ports = [443]", `is required with ip = "host"`)
			return false
		}
	}
	return true
}

func texts(list []elem) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i], _ = e.v.(string)
	}
	return out
}
