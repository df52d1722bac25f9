package config

import (
	"maps"
	"slices"
)

// ProfileInfo is what a list of profiles says of one.
type ProfileInfo struct {
	ProfileRef
	Inherits   string
	Image      string // as it would hold with this profile
	Persistent bool
	Pool       string
	Err        error // of type *Error when the profile cannot be used
}

// Profiles are the profiles that can be named in one workspace.
type Profiles struct {
	ld   *loader
	base values
}

// OpenProfiles reads the main files and finds every profile.
func OpenProfiles(o Options) (*Profiles, error) {
	ld, project, base, err := open(o)
	if err != nil {
		return nil, err
	}
	if project != nil {
		free := &layer{vals: maps.Clone(project.vals)}
		maps.DeleteFunc(free.vals, func(_ string, v val) bool { return v.row.Scope != Free })
		merge(base, free, false)
	}
	return &Profiles{ld, base}, nil
}

// Warnings are the general warnings that reading gave.
func (p *Profiles) Warnings() []Warning { return p.ld.cfg.Warnings }

// Refs lists every profile, by name, without reading any.
func (p *Profiles) Refs() []ProfileRef { return p.ld.all() }

// List describes every profile, by name.
func (p *Profiles) List() []ProfileInfo {
	refs := p.ld.all()
	out := make([]ProfileInfo, len(refs))
	for i, ref := range refs {
		out[i], _ = p.Info(ref)
	}
	return out
}

// Find resolves a name, qualified as user:NAME or plain. The error is of type *Error.
func (p *Profiles) Find(name string) (ProfileRef, error) {
	ref, problem := p.ld.find(name)
	if problem != nil {
		return ref, &Error{[]Problem{*problem}}
	}
	return ref, nil
}

// Info describes a profile and lists the values that it and its parents set.
// For the built-in default, which sets none, it lists what holds without a profile.
func (p *Profiles) Info(ref ProfileRef) (ProfileInfo, []Entry) {
	info := ProfileInfo{ProfileRef: ref}
	var ps problems
	c := p.ld.load(ref, &ps)
	info.Err = ps.err()
	flat := c.flatten()
	if n := len(c.layers); n > 0 {
		info.Inherits = c.layers[n-1].inherits
	}
	over := stack(p.base, flat)
	info.Image, _ = over["container.image"].v.(string)
	info.Persistent, _ = over["container.persistent"].v.(bool)
	info.Pool, _ = over["container.storage_pool"].v.(string)
	vals := flat.vals
	if ref.Name == "default" && ref.File == "" {
		vals = p.base
	}
	var entries []Entry
	for _, key := range slices.Sorted(maps.Keys(vals)) {
		entries = append(entries, entryOf(vals[key]))
	}
	return info, entries
}

// Nested arranges entries as the tables they come from.
func Nested(entries []Entry) map[string]any {
	out := map[string]any{}
	for _, e := range entries {
		t := out
		parts := splitKey(e.Key)
		for _, part := range parts[:len(parts)-1] {
			sub, ok := t[part].(map[string]any)
			if !ok {
				sub = map[string]any{}
				t[part] = sub
			}
			t = sub
		}
		t[parts[len(parts)-1]] = e.Value
	}
	return out
}

// splitKey takes a dotted key with quoted parts apart.
func splitKey(key string) []string {
	var parts []string
	for len(key) > 0 {
		end := 0
		if key[0] == '"' {
			for end = 1; end < len(key) && key[end] != '"'; end++ {
				if key[end] == '\\' {
					end++
				}
			}
			end = min(end+1, len(key))
		} else {
			for end < len(key) && key[end] != '.' {
				end++
			}
		}
		parts = append(parts, unquote(key[:end]))
		key = key[min(end+1, len(key)):]
	}
	return parts
}

// open does the part of Load that comes before the choice of a profile.
func open(o Options) (ld *loader, project *layer, base values, err error) {
	ld = newLoader(o)
	ld.environment()
	ld.resolveWorkspace()
	user, project, env := ld.mainLayers()
	if err := ld.ps.err(); err != nil {
		return nil, nil, nil, err
	}
	return ld, project, stack(ld.bottom, user, env), nil
}
