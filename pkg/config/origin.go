package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
)

// Origin is where a value comes from.
type Origin struct {
	Kind    OriginKind `json:"kind"`
	File    string     `json:"file,omitempty"`
	Line    int        `json:"line,omitempty"`
	Profile string     `json:"profile,omitempty"` // of kind profile
	Flag    string     `json:"flag,omitempty"`    // of kind flag
}

func originOf(src *source, pos position) Origin {
	o := Origin{Kind: src.kind, File: src.file}
	switch {
	case src.kind == FlagValue:
		o.Flag = src.profile
	case src.isProf:
		o.Kind, o.Profile, o.Line = ProfileFile, src.profile, pos.Line
	default:
		o.Line = pos.Line
	}
	return o
}

func (v val) origin() Origin {
	if v.src == nil {
		return Origin{Kind: BuiltIn}
	}
	return originOf(v.src, v.pos)
}

func (e elem) origin() Origin { return originOf(e.src, e.pos) }

// String is the form of config show: built-in, FILE:LINE, profile NAME
// FILE:LINE, or flag --x.
func (o Origin) String() string {
	where := o.File
	if where != "" {
		where = fmt.Sprintf("%s:%d", o.File, o.Line)
	}
	switch o.Kind {
	case FlagValue:
		return "flag " + o.Flag
	case ProfileFile:
		return strings.TrimSpace("profile " + o.Profile + " " + where)
	case BuiltIn:
		return string(BuiltIn)
	}
	return where
}

// Shorten writes the file with ~.
func (o Origin) Shorten(h home.Home) Origin {
	o.File = h.Shorten(o.File)
	return o
}

// Trusted reports whether the origin is none of the project's files. Profiles
// of a project count as the project's.
func (c *Config) Trusted(key string) bool {
	v, ok := c.values[key]
	return !ok || v.src.trusted
}

// Origin says where the value of a key comes from; an unset key is built-in.
func (c *Config) Origin(key string) Origin { return c.values[key].origin() }

// IsSet reports whether any layer above the built-in one sets the key.
func (c *Config) IsSet(key string) bool { return c.Origin(key).Kind != BuiltIn }

// Files lists every file that was read, the lowest layer first.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// MustMonitor reports whether the user wrote monitoring.enabled = true, so that
// a session may not start without a watcher.
func (c *Config) MustMonitor() bool {
	return c.Monitoring.Enabled != nil && *c.Monitoring.Enabled && c.Trusted("monitoring.enabled")
}

// Monitored reports whether a session is to be watched.
func (c *Config) Monitored() bool { return c.Monitoring.Enabled == nil || *c.Monitoring.Enabled }

// Protected lists the locked paths in force.
func (s Security) Protected() []string {
	if s.DisableProtection {
		return nil
	}
	return without(slices.Concat(s.ProtectedPaths, s.AdditionalProtectedPaths), s.WritablePaths)
}

// Watched lists the watched paths in force.
func (s Security) Watched() []string {
	return without(slices.Concat(s.WatchedPaths, s.AdditionalWatchedPaths), s.WritablePaths)
}

func without(list, drop []string) []string {
	clean := func(s string) string { return strings.TrimSuffix(s, "/") }
	var out []string
	for _, s := range list {
		s = clean(s)
		if !slices.ContainsFunc(drop, func(d string) bool { return clean(d) == s }) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Format writes a value as TOML.
func Format(v any) string {
	switch t := v.(type) {
	case nil:
		return `""`
	case string:
		return quote(t)
	case bool:
		return strconv.FormatBool(t)
	case int64:
		return strconv.FormatInt(t, 10)
	case float64:
		s := strconv.FormatFloat(t, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case Prompt:
		if t.File != "" {
			return "{ file = " + quote(t.File) + " }"
		}
		return quote(t.Text)
	case []string:
		out := make([]any, len(t))
		for i, s := range t {
			out[i] = s
		}
		return Format(out)
	case []any:
		parts := make([]string, len(t))
		for i, e := range t {
			parts[i] = Format(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []elem:
		return Format(plainTables(t))
	case map[string]any:
		return formatTable(t)
	}
	return quote(fmt.Sprint(v))
}

func formatTable(t map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range t {
			if !yield(k) {
				return
			}
		}
	}) {
		if t[k] != nil {
			parts = append(parts, bareOrQuoted(k)+" = "+Format(t[k]))
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}
