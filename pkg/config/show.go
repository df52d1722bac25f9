package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/near"
)

// Entry is one key of the effective configuration.
type Entry struct {
	Key        string       `json:"key"`
	Value      any          `json:"value"` // nil when nothing sets it
	Origin     Origin       `json:"origin"`
	Overridden []Overridden `json:"overridden"`
}

// Overridden is a value that a higher layer took the place of.
type Overridden struct {
	Value any    `json:"value"`
	File  string `json:"file"`
	Line  int    `json:"line"`
}

// Entries lists every key with its value and origin, sorted by key. Keys whose
// names the user chooses appear when they are set.
func (c *Config) Entries() []Entry {
	out := make([]Entry, 0, len(Schema)+len(c.values))
	for _, row := range Schema {
		_, set := c.values[row.Key]
		if !set && row.Kind != Map && row.Kind != Texts && row.Kind != Rules {
			var v any
			if row.Kind == Tables || row.Kind == List {
				v = []any{}
			}
			out = append(out, Entry{Key: row.Key, Value: v, Origin: Origin{Kind: BuiltIn}, Overridden: []Overridden{}})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		out = append(out, entryOf(c.values[key]))
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func entryOf(v val) Entry {
	e := Entry{Key: v.key, Value: plainTables(v.v), Origin: v.origin(), Overridden: []Overridden{}}
	for _, o := range v.over {
		if from := o.origin(); from.File != "" {
			e.Overridden = append(e.Overridden, Overridden{plainTables(o.v), from.File, from.Line})
		}
	}
	return e
}

// Select keeps the entries whose key is one of keys or lies below one. A key
// that is not in the schema is returned as unknown, with the nearest known one.
func Select(entries []Entry, keys []string) (kept []Entry, unknown, nearest string) {
	if len(keys) == 0 {
		return entries, "", ""
	}
	for _, want := range keys {
		n := len(kept)
		for _, e := range entries {
			if e.Key == want || strings.HasPrefix(e.Key, want+".") {
				kept = append(kept, e)
			}
		}
		row := byKey[want]
		if len(kept) == n && row == nil && !sections[want] {
			if list := near.Words(want, Keys()); len(list) > 0 {
				nearest = list[0]
			}
			return nil, want, nearest
		}
	}
	return kept, "", ""
}

// MarshalJSON gives a prompt the form it has in the file.
func (p Prompt) MarshalJSON() ([]byte, error) {
	if p.File != "" {
		return json.Marshal(map[string]string{"file": p.File})
	}
	return json.Marshal(p.Text)
}

// telling are parts of the names of variables whose values are secrets.
var telling = []string{"KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "AUTH", "COOKIE", "SESSION", "PRIVATE", "DSN", "DATABASE_URL"}

// Masked replaces values of environment variables whose name looks secret.
func (e Entry) Masked() Entry {
	name, ok := strings.CutPrefix(e.Key, "defaults.environment.")
	if !ok || !slices.ContainsFunc(telling, func(t string) bool { return strings.Contains(strings.ToUpper(name), t) }) {
		return e
	}
	e.Value = "***"
	e.Overridden = slices.Clone(e.Overridden)
	for i := range e.Overridden {
		e.Overridden[i].Value = "***"
	}
	return e
}
