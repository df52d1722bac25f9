package config

import (
	"slices"
	"strings"
)

// Kind is the type of a value.
type Kind string

// Kinds of values. Text kinds carry their own grammar in Row.Rule.
const (
	Bool       Kind = "bool"
	Int        Kind = "int"
	Float      Kind = "float"
	Text       Kind = "string"
	Path       Kind = "path"     // string; ~ and relative forms are made absolute
	Duration   Kind = "duration" // string such as 1h30m
	List       Kind = "list"     // of strings
	PortList   Kind = "ports"    // list of numbers and "a-b"
	WordOrList Kind = "string or list"
	TextOrInt  Kind = "string or int"
	TextOrBool Kind = "string or bool"
	Map        Kind = "table of strings"    // of strings, free names
	Texts      Kind = "table of texts"      // table of strings or { file = PATH }
	Rules      Kind = "tables by directory" // table of tables with one key, profile
	Tables     Kind = "tables"              // list of tables with Row.Fields
)

// Scope says what a key may do from a project's files.
type Scope string

// Scopes. Every row has one; there is no default.
const (
	Free    Scope = "A" // honoured
	Tighten Scope = "T" // honoured if at least as strict as the user's value
	Refuse  Scope = "R" // refused whatever the value
	Gate    Scope = "G" // waits for coi trust
)

// Merge says how layers meet.
type Merge string

// Merge codes. In profile inheritance Union and Append replace instead.
const (
	Last     Merge = "S"  // the last layer that sets it wins
	LastList Merge = "L"  // the same for a list, even an empty one
	Union    Merge = "U"  // without duplicates
	UnionAll Merge = "UU" // in inheritance too
	PerKey   Merge = "M"  // key by key; "" removes
	Append   Merge = "P"
	ByName   Merge = "N" // same name replaces
)

// Row is one key: the only place where its type, default, limits, scope and
// meaning are written down.
type Row struct {
	Key     string // dotted
	Kind    Kind
	Default any // bool, int64, float64, string, []string, or nil for unset
	Rule    Rule
	Scope   Scope
	Tighter Tighter // for Tighten, and for Gate where only one value is gated
	Merge   Merge
	Doc     string
	Fields  []Field // of Tables
	// MainOnly rows may not stand in a profile.
	MainOnly bool
}

// Field is one key of a row of Kind Tables.
type Field struct {
	Name     string
	Kind     Kind // Text, Path, Int, Bool, List or PortList
	Required bool
	Default  any
	Rule     Rule
	Doc      string
}

// Rule limits a value beyond its kind.
type Rule struct {
	Enum    []string
	Min     float64
	Max     float64 // no limits when both are 0
	Pattern string
	Words   string                  // what is allowed, for messages and the table
	Check   func(text string) error // further grammar of a string or list element
	Note    func(text string) string
}

// Schema lists every key in the order of the documentation.
var Schema = slices.Concat(defaultsRows, containerRows, hostRows, networkRows, toolRows, deviceRows, limitRows, gitRows, securityRows, monitoringRows, detectionRows)

var byKey = func() map[string]*Row {
	m := make(map[string]*Row, len(Schema))
	for i := range Schema {
		m[Schema[i].Key] = &Schema[i]
	}
	return m
}()

// sections holds every table that contains keys: "network", "network.logging".
var sections = func() map[string]bool {
	m := map[string]bool{}
	for _, r := range Schema {
		for i, c := range r.Key {
			if c == '.' {
				m[r.Key[:i]] = true
			}
		}
	}
	return m
}()

// Lookup returns the row of a key.
func Lookup(key string) (Row, bool) {
	r, ok := byKey[key]
	if !ok {
		return Row{}, false
	}
	return *r, true
}

// Keys lists all keys and sections that start with the given words, for
// completion and near misses.
func Keys() []string {
	out := make([]string, 0, len(Schema)+len(sections))
	for _, r := range Schema {
		out = append(out, r.Key)
	}
	for s := range sections {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// section is the table a key stands in, "" at the root.
func section(key string) string {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return ""
	}
	return key[:i]
}

// rootKeys may be written at the root as well as under [defaults].
var rootKeys = []string{"forward_env", "environment", "env_commands", "env_command_timeout"}
