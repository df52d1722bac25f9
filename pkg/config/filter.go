package config

import (
	"maps"
	"slices"

	"github.com/code-on-incus/coi/pkg/trust"
)

// part is what one untrusted file, with its parents, wants.
type part struct {
	unit  string // path under which approvals are kept
	layer *layer
	items []trust.Item
	// asked holds, for each item, the value it stands for, so that it can be
	// dropped when it is not approved.
	asked []asked
}

type asked struct {
	key  string
	elem int // index in the list, -1 for a scalar
}

// filter goes through an untrusted layer: refused values are dropped and
// reported, gated ones become items. base is what holds without any untrusted file.
func (ld *loader) filter(p *part, base values) {
	out := values{}
	for _, key := range slices.Sorted(maps.Keys(p.layer.vals)) {
		v := p.layer.vals[key]
		if list, ok := v.v.([]elem); ok {
			v.v = ld.filterList(p, v, list, base)
			if v.v == nil {
				continue
			}
		} else if !v.src.trusted && !ld.filterScalar(p, v, base) {
			continue
		}
		out[key] = v
	}
	p.layer.vals = out
	ld.filterClear(p)
}

const (
	weaker  = "a project may not weaken this"
	notHis  = "a project may not set this"
	outside = "a project's file must lie in its .coi"
)

func (ld *loader) refuse(v val, value any, pos position, reason string) bool {
	ld.cfg.Refused = append(ld.cfg.Refused, Refusal{v.key, plainTables(value), v.src.file, pos.Line, reason})
	return false
}

// filterScalar reports whether the value stays for now.
func (ld *loader) filterScalar(p *part, v val, base values) bool {
	switch {
	case v.row.Scope == Refuse:
		return ld.refuse(v, v.v, v.pos, notHis)
	case v.row.Scope == Tighten && !ld.tighter(v, base):
		return ld.refuse(v, v.v, v.pos, weaker)
	case v.row.Scope == Gate:
		ld.gateScalar(p, v, base)
	case v.row.Key == "defaults.environment" && steers(envName(v.key)):
		p.ask(v, -1, ld.envItem(v))
	case v.row.Key == "container.build.script" && !trust.Within(v.v.(string), v.src.coiDir): // a trusted parent's has no coiDir
		return ld.refuse(v, v.v, v.pos, outside)
	}
	return true
}

func (p *part) ask(v val, elem int, item trust.Item) {
	p.items = append(p.items, item)
	p.asked = append(p.asked, asked{v.key, elem})
}

func (ld *loader) tighter(v val, base values) bool {
	var b any
	if old, ok := base[v.row.Key]; ok {
		b = bareValue(old.v)
	}
	if ok, mine := diskTighter(v, base); mine {
		return ok
	}
	return v.row.Tighter.OK(b, bareValue(v.v))
}

// filterList filters a list as a whole or element by element; nil drops it.
func (ld *loader) filterList(p *part, v val, list []elem, base values) any {
	foreign := slices.ContainsFunc(list, func(e elem) bool { return !e.src.trusted }) || len(list) == 0 && !v.src.trusted
	if !foreign {
		return list
	}
	switch v.row.Scope {
	case Refuse:
		ld.refuse(v, list, v.pos, notHis)
		own := slices.DeleteFunc(slices.Clone(list), func(e elem) bool { return !e.src.trusted })
		if len(own) == 0 {
			return nil
		}
		return own
	case Tighten:
		if !ld.tighter(v, base) {
			ld.refuse(v, list, v.pos, weaker)
			return nil
		}
	case Gate:
		return ld.gateList(p, v, list, base)
	}
	return list
}

func (ld *loader) filterClear(p *part) {
	i := slices.Index(p.layer.clear, "secret_paths")
	if i < 0 {
		return
	}
	for _, l := range ld.chain.layers {
		if l.src.trusted || !slices.Contains(l.clear, "secret_paths") {
			continue
		}
		p.layer.clear = slices.Delete(slices.Clone(p.layer.clear), i, i+1)
		ld.cfg.Refused = append(ld.cfg.Refused, Refusal{"clear", []string{"secret_paths"}, l.src.file, l.clearPos.Line, weaker})
		return
	}
}

// diskTighter compares quotas and rates across the two keys that can say
// them. mine is false for other keys.
func diskTighter(v val, base values) (ok, mine bool) {
	text := func(key string) string { s, _ := base[key].v.(string); return s }
	d := DiskLimits{Size: text("limits.disk.size"), Max: text("limits.disk.max")}
	s, _ := v.v.(string)
	_, capped := d.MaxRate()
	switch v.row.Key {
	case "limits.disk.read", "limits.disk.write":
		// disk.max as a rate cannot stand beside these.
		return !capped && v.row.Tighter.OK(text(v.row.Key), s), true
	case "limits.disk.size", "limits.disk.max":
	default:
		return false, false
	}
	n, err := ParseSize(s)
	if err != nil {
		ownRates := text("limits.disk.read") != "" || text("limits.disk.write") != ""
		return v.row.Key == "limits.disk.max" && s != "" && d.Quota() == 0 && !ownRates && lowerRate.OK(d.Max, s) ||
			s == text(v.row.Key), true
	}
	if q := d.Quota(); q > 0 {
		return n <= q, true
	}
	return !capped || v.row.Key == "limits.disk.size", true
}

// alignDisk writes a project's quota under the key in which the user wrote
// theirs, since two different quotas are an error.
func alignDisk(vals, base values) {
	keys := []string{"limits.disk.size", "limits.disk.max"}
	for _, key := range keys {
		v, ok := vals[key]
		s, _ := v.v.(string)
		if _, err := ParseSize(s); !ok || err != nil {
			continue
		}
		for _, other := range keys {
			theirs, _ := base[other].v.(string)
			if _, err := ParseSize(theirs); err != nil || other == key {
				continue
			}
			delete(vals, key)
			moved := v
			moved.row, moved.key = byKey[other], other
			vals[other] = moved
			// Two equal sizes of the user's get smaller together; a rate in
			// disk.max is another limit, and stays.
			own, _ := base[key].v.(string)
			if _, err := ParseSize(own); err == nil {
				vals[key] = v
			}
		}
	}
}

func plainTables(v any) any {
	list, ok := v.([]elem)
	if !ok {
		return v
	}
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e.v
	}
	return out
}
