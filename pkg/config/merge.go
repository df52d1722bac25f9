package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// values are the effective values of some layers, by key.
type values map[string]val

// builtin is the lowest layer. Unset keys are absent.
func builtin(h expander, coiDir string) values {
	src := &source{kind: BuiltIn, trusted: true}
	out := make(values, len(Schema))
	for i := range Schema {
		row := &Schema[i]
		if row.Default == nil {
			continue
		}
		v := row.Default
		switch d := v.(type) {
		case []string:
			list := make([]elem, len(d))
			for i, s := range d {
				list[i] = elem{v: s, src: src}
			}
			v = list
		case string:
			if rest, ok := strings.CutPrefix(d, "~/.coi"); ok && row.Kind == Path {
				v = coiDir + rest
			} else if row.Kind == Path {
				v = absolute(h, "/", d)
			}
		}
		out[row.Key] = val{row: row, key: row.Key, v: v, src: src}
	}
	return out
}

// stack puts layers over a copy of base; nil layers are skipped.
func stack(base values, layers ...*layer) values {
	out := maps.Clone(base)
	for _, l := range layers {
		if l != nil {
			merge(out, l, false)
		}
	}
	return out
}

// merge puts one layer over the values of others. inherit chooses the rules of
// profile inheritance, where a child's lists replace its parent's.
func merge(out values, l *layer, inherit bool) {
	clearKeys(out, l.clear)
	for key, v := range l.vals {
		old, had := out[key]
		if had {
			v.over = append([]val{strip(old)}, old.over...)
		}
		switch code := v.row.Merge; {
		case code == PerKey && v.v == "" && !inherit:
			delete(out, key)
			continue
		case code == UnionAll, code == Union && !inherit:
			v.v = union(old.v, v.v)
		case code == Append && !inherit:
			v.v = slices.Concat(elems(old.v), elems(v.v))
		case code == ByName:
			v.v = byName(old.v, v.v)
		}
		out[key] = v
	}
}

func strip(v val) val { v.over = nil; return v }

func elems(v any) []elem { e, _ := v.([]elem); return e }

func union(a, b any) []elem {
	out := slices.Clone(elems(a))
	for _, e := range elems(b) {
		if !slices.ContainsFunc(out, func(o elem) bool { return o.v == e.v }) {
			out = append(out, e)
		}
	}
	return out
}

func byName(a, b any) []elem {
	out := slices.Clone(elems(a))
	for _, e := range elems(b) {
		name := e.v.(map[string]any)["name"]
		i := slices.IndexFunc(out, func(o elem) bool { return o.v.(map[string]any)["name"] == name })
		if i >= 0 {
			out[i] = e
		} else {
			out = append(out, e)
		}
	}
	return out
}

// clearable lists name keys in short; ports are both of its keys.
func clearKeys(vals values, names []string) {
	for _, name := range names {
		for key := range vals {
			if clears(name, key) {
				delete(vals, key)
			}
		}
	}
}

func clears(name, key string) bool {
	switch name {
	case "forward_env", "environment", "env_commands":
		return key == "defaults."+name || strings.HasPrefix(key, "defaults."+name+".")
	case "secret_paths":
		return key == "security.secret_paths"
	case "ports":
		return strings.HasPrefix(key, "ports.")
	}
	return key == name
}

// bareValue is a value as rules compare it: lists of strings instead of elements.
func bareValue(v any) any {
	if list, ok := v.([]elem); ok {
		return texts(list)
	}
	return v
}

func equal(a, b any) bool { return reflect.DeepEqual(bareValue(a), bareValue(b)) }
