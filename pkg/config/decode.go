package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/near"
	"github.com/code-on-incus/coi/pkg/trust"
)

// val is one value of one layer, or of the merged configuration. Lists are
// []elem, everything else is a plain Go value.
type val struct {
	row  *Row
	key  string // with the free part, as defaults.environment.EDITOR
	v    any
	pos  position
	src  *source
	over []val // what it took the place of, newest first
}

// elem is one element of a list: a string, or a table of map[string]any.
type elem struct {
	v    any
	pos  position
	src  *source
	seen *seen // of an element from an untrusted file
}

// seen is what the gate found out about an element.
type seen struct {
	target      trust.Target
	inWorkspace bool
	overlap     bool // a writable overlap with protected paths is approved
	covered     bool // the user's own list allows it
}

// layer is what one file says.
type layer struct {
	src      *source
	vals     map[string]val
	clear    []string
	clearPos position
	inherits string
	inhPos   position
	context  string
	ctxPos   position
	notes    []Warning
}

type decoder struct {
	d   *document
	out *layer
	ps  *problems
	h   expander

	told int // problems of this file so far
}

// expander makes a written host path absolute.
type expander interface{ Expand(string) string }

// decode checks a document against the schema. Every problem is reported.
func decode(d *document, h expander, ps *problems) *layer {
	dec := &decoder{d: d, out: &layer{src: d.src, vals: map[string]val{}}, ps: ps, h: h}
	dec.table(nil, d.tree)
	dec.mountNotes()
	return dec.out
}

// maxProblems bounds what is told of one file, so that a hostile one costs
// neither time nor a flooded screen.
const maxProblems = 100

func (dec *decoder) full() bool { return dec.told >= maxProblems }

func (dec *decoder) problem(path []string, key, hint, format string, a ...any) {
	if dec.full() {
		return
	}
	dec.told++
	at := dec.d.at(path...)
	dec.ps.add(Problem{dec.d.src.file, at.Line, at.Column, key, fmt.Sprintf(format, a...), hint})
}

func (dec *decoder) table(path []string, t map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if dec.full() {
			return
		}
		dec.entry(append(slices.Clone(path), name), t[name])
	}
}

func (dec *decoder) entry(path []string, v any) {
	key := strings.Join(path, ".")
	if len(path) == 1 && slices.Contains(rootKeys, key) {
		key = "defaults." + key
		if _, twice := dec.d.pos["defaults"+sep+path[0]]; twice {
			dec.problem(path, path[0], "keep one of them", "given twice, here and as %s", key)
			return
		}
	}
	if dec.d.src.isProf && dec.profileKey(path, v) {
		return
	}
	row, known := byKey[key]
	if strings.Contains(path[len(path)-1], ".") {
		known = false // a quoted name with a dot is no path
	}
	sub, isTable := v.(map[string]any)
	switch {
	case dec.oldKey(path, key):
	case key == "mounts" && isTable:
		dec.mountTable(path, sub)
	case known && row.MainOnly && dec.d.src.isProf:
		dec.problem(path, key, "put it in ~/.coi/config.toml", "not allowed in a profile")
	case known:
		dec.value(row, key, path, v)
	case sections[key] && isTable && !strings.Contains(path[len(path)-1], "."):
		dec.table(path, sub)
	case sections[key]:
		dec.problem(path, key, fmt.Sprintf("write [%s]", key), "is a table")
	default:
		dec.problem(path, key, unknownHint(key, dec.d.src.isProf), "unknown key")
	}
}

var profileKeys = []string{"inherits", "context", "clear"}

func unknownHint(key string, profile bool) string {
	if slices.Contains(profileKeys, key) && !profile {
		return "only a profile has " + key
	}
	if n := nearKey(key, profile); n != "" {
		return "did you mean " + n + "?"
	}
	return "coi config show lists every key"
}

// nearKey is the known key closest to key: first by its last part within the
// same table, then as a whole.
func nearKey(key string, profile bool) string {
	known := append(Keys(), rootKeys...)
	if profile {
		known = append(known, profileKeys...)
	}
	if n := near.Words(key, known); len(n) > 0 && !strings.HasPrefix(n[0], key+".") {
		return n[0]
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range known {
		if k[strings.LastIndexByte(k, '.')+1:] == last {
			return k
		}
	}
	if sec := section(key); sec != "" && !sections[sec] {
		if n := nearKey(sec, profile); n != "" {
			return n
		}
	}
	return ""
}

func (dec *decoder) profileKey(path []string, v any) bool {
	if len(path) != 1 {
		return false
	}
	at := dec.d.at(path...)
	s, isText := v.(string)
	switch path[0] {
	case "inherits":
		if _, name := splitProfile(s); !isText || !ValidProfileName(name) {
			dec.problem(path, "inherits", nameWords, "must be the name of a profile")
		}
		dec.out.inherits, dec.out.inhPos = s, at
	case "context":
		if !isText || checkText(s) != nil {
			dec.problem(path, "context", "a Markdown file beside the profile", "must be a path")
		}
		dec.out.context, dec.out.ctxPos = s, at
	case "clear":
		dec.out.clearPos = at
		items, ok := v.([]any)
		if !ok {
			dec.problem(path, "clear", words(clearable), "must be a list")
		}
		for i, item := range items {
			name, _ := item.(string)
			if !slices.Contains(clearable, name) {
				dec.problem(append(path, strconv.Itoa(i)), "clear", "one of "+words(clearable), "%q cannot be cleared", fmt.Sprint(item))
				continue
			}
			dec.out.clear = append(dec.out.clear, name)
		}
	default:
		return false
	}
	return true
}

var clearable = []string{"forward_env", "environment", "env_commands", "mounts", "sockets", "credentials", "ports", "secret_paths"}

func (dec *decoder) mountTable(path []string, t map[string]any) {
	row := byKey["mounts"]
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if name != "default" {
			dec.problem(append(slices.Clone(path), name), "mounts."+name, "write [[mounts.default]] or [[mounts]], each with host and container", "mounts is a list of tables")
			continue
		}
		dec.value(row, "mounts", append(slices.Clone(path), "default"), t[name])
	}
	if len(t) == 0 {
		dec.problem(path, "mounts", "write [[mounts.default]] or [[mounts]], each with host and container", "mounts is a list of tables")
	}
}

func (dec *decoder) mountNotes() {
	usual, other := "mounts.default", "mounts"
	if dec.d.src.isProf {
		usual, other = other, usual
	}
	if at, ok := dec.d.mountForms[other]; ok {
		dec.out.notes = append(dec.out.notes, Warning{Text: fmt.Sprintf("%s:%d: [[%s]] works; the usual form here is [[%s]]", dec.d.src.file, at.Line, other, usual)})
	}
}

func (dec *decoder) set(row *Row, key string, path []string, v any) {
	dec.out.vals[key] = val{row: row, key: key, v: v, pos: dec.d.at(path...), src: dec.d.src}
}

func (dec *decoder) value(row *Row, key string, path []string, v any) {
	switch row.Kind {
	case Map, Texts, Rules:
		dec.freeTable(row, key, path, v)
	case Tables:
		dec.tables(row, key, path, v)
	case List, PortList, WordOrList:
		if list, ok := dec.list(row.Kind, row.Rule, key, path, v); ok {
			dec.set(row, key, path, list)
		}
	default:
		if s, ok := dec.scalar(row.Kind, row.Rule, key, path, v); ok {
			if row.Kind == Path {
				s = dec.companion(row.Key, s.(string))
			}
			dec.set(row, key, path, s)
		}
	}
}

var kindWords = map[Kind]string{
	Bool: "true or false", Int: "a whole number", Float: "a number", Text: "a string", Path: "a path", Duration: "a duration such as 30s, 10m or 1h30m",
	TextOrInt: "a string or a number", TextOrBool: "a string or true or false", List: "a list of strings", PortList: `a list of ports and "a-b" ranges`, WordOrList: "a string or a list of strings",
}

func (dec *decoder) scalar(kind Kind, rule Rule, key string, path []string, v any) (any, bool) {
	allowed := rule.Words
	if allowed == "" {
		allowed = kindWords[kind]
	}
	hint := "allowed: " + allowed
	var problem string
	switch t := v.(type) {
	case bool:
		if kind == TextOrBool {
			v = strconv.FormatBool(t)
		} else if kind != Bool {
			problem = "must be " + kindWords[kind]
		}
	case int64:
		switch kind {
		case Int:
			problem = rule.number(t)
		case Float:
			v = float64(t)
			problem = rule.number(v)
		case TextOrInt:
			v = strconv.FormatInt(t, 10)
			problem = rule.text(v.(string))
		case Text, Duration, TextOrBool:
			problem = fmt.Sprintf("must be %s, not the number %d", kindWords[kind], t)
			if err := unitHint(strconv.FormatInt(t, 10), errNoUnit); strings.HasPrefix(key, "limits.disk.") && err != nil {
				problem = err.Error()
			}
		default:
			problem = "must be " + kindWords[kind]
		}
	case float64:
		problem = "must be " + kindWords[kind]
		if kind == Float {
			problem = rule.number(t)
		}
	case string:
		switch kind {
		case Bool, Int, Float:
			problem = fmt.Sprintf("must be %s, not the string %q", kindWords[kind], t)
		default:
			problem = rule.text(t)
		}
	default:
		problem = "must be " + kindWords[kind]
	}
	if problem != "" {
		dec.problem(path, key, hint, "%s", problem)
		return nil, false
	}
	return v, true
}

var errNoUnit = fmt.Errorf("a number without unit")

func (dec *decoder) list(kind Kind, rule Rule, key string, path []string, v any) ([]elem, bool) {
	items, ok := v.([]any)
	if s, isText := v.(string); isText && kind == WordOrList {
		items, ok = []any{s}, true
	}
	if !ok {
		dec.problem(path, key, "allowed: "+kindWords[kind], "must be %s", kindWords[kind])
		return nil, false
	}
	out, good := make([]elem, 0, len(items)), true
	for i, item := range items {
		p := append(slices.Clone(path), strconv.Itoa(i))
		elemKind := Text
		if kind == PortList {
			elemKind = TextOrInt
		}
		s, ok := dec.scalar(elemKind, rule, key, p, item)
		if !ok {
			good = false
			continue
		}
		if rule.Note != nil {
			if note := rule.Note(s.(string)); note != "" {
				at := dec.d.at(p...)
				dec.out.notes = append(dec.out.notes, Warning{Text: fmt.Sprintf("%s:%d: %s: %s", dec.d.src.file, at.Line, key, note)})
			}
		}
		out = append(out, elem{v: s, pos: dec.d.at(p...), src: dec.d.src})
	}
	return out, good
}
