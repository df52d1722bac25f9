package config

import (
	"slices"

	"github.com/code-on-incus/coi/pkg/plain"
	"github.com/code-on-incus/coi/pkg/trust"
)

// combine filters the untrusted layers against what holds without them and
// merges everything in order.
func (ld *loader) combine(user, project, env, profile, flags *layer) values {
	base := stack(ld.bottom, user, env)
	merge(base, tightenOnly(trustedPart(profile), base), false)
	merge(base, flags, false)

	ld.toolName = toolOf(ld.bottom, user, project, env, profile, flags)
	ld.loadStore()
	var parts []*part
	if project != nil {
		parts = append(parts, &part{unit: project.src.file, layer: project})
	}
	if ld.chain.unit != "" {
		parts = append(parts, &part{unit: ld.chain.unit, layer: profile})
	}
	for _, p := range parts {
		ld.filter(p, base)
		alignDisk(p.layer.vals, base)
		ld.gateTool(p, base)
		ld.decide(p)
	}
	vals := stack(ld.bottom, user, project, env)
	over := tightenOnly(profile, vals)
	if _, named := layerVals(project)["container.alias"]; named {
		delete(over.vals, "container.alias") // a workspace keeps its name under every profile
	}
	merge(vals, over, false)
	merge(vals, flags, false)
	return vals
}

func layerVals(l *layer) values {
	if l == nil {
		return nil
	}
	return l.vals
}

// toolOf is the tool that the layers choose; no filter touches that key.
func toolOf(bottom values, layers ...*layer) string {
	s, _ := bottom["tool.name"].v.(string)
	for _, l := range layers {
		if l == nil {
			continue
		}
		if name, ok := l.vals["tool.name"].v.(string); ok {
			s = name
		}
	}
	return s
}

// trustedPart is a profile without the values that came through an untrusted file.
func trustedPart(l *layer) *layer {
	out := &layer{src: l.src, vals: values{}, clear: l.clear}
	for key, v := range l.vals {
		if list, ok := v.v.([]elem); ok {
			own := slices.DeleteFunc(slices.Clone(list), func(e elem) bool { return !e.src.trusted })
			if len(own) == 0 && (len(list) > 0 || !v.src.trusted) {
				continue
			}
			v.v = own
		} else if !v.src.trusted {
			continue
		}
		out.vals[key] = v
	}
	return out
}

// tightenOnly takes out of a profile what the built-in part of it would loosen.
func tightenOnly(l *layer, base values) *layer {
	out := &layer{src: l.src, vals: values{}, clear: l.clear}
	for key, v := range l.vals {
		old, had := base[key]
		if v.src.kind == BuiltIn && v.row.Scope == Tighten && had {
			if v.row.Merge == LastList {
				v.v = union(old.v, v.v)
			} else if !v.row.Tighter.OK(bareValue(old.v), bareValue(v.v)) {
				continue
			}
		}
		out.vals[key] = v
	}
	return out
}

func (ld *loader) loadStore() {
	var err error
	if ld.store, err = trust.Load(ld.home.Trust()); err != nil {
		ld.warn(Warning{Text: "nothing is trusted: " + err.Error(), Hints: []string{"chmod 600 " + plain.ShellQuote(ld.home.Trust()), "coi trust"}})
	}
}
