package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/trust"
)

// steering are names of variables that redirect traffic or code, in upper
// case; * stands for any text.
var steering = []string{
	"*_BASE_URL", "*_API_BASE", "*_ENDPOINT", "*_PROXY", "*_CA_*", "SSL_CERT_*", "NODE_OPTIONS", "NODE_TLS_*", "NODE_EXTRA_CA_CERTS",
	"LD_*", "GIT_*", "SSH_*", "BASH_ENV", "ENV", "PATH", "HOME",
}

// steers reports whether a project's variable of this name needs approval.
func steers(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc(steering, func(p string) bool {
		ok, _ := filepath.Match(p, name)
		return ok
	})
}

func envName(key string) string { return strings.TrimPrefix(key, "defaults.environment.") }

func (ld *loader) envItem(v val) trust.Item {
	return trust.Item{
		Kind: "env", Fields: []trust.Field{{Name: "name", Value: envName(v.key)}, {Name: "value", Value: v.v.(string)}},
		Access: "sets a variable inside", Why: "this variable decides where programs connect or which code they load", File: v.src.file, Line: v.pos.Line, Needed: true,
	}
}

func (ld *loader) gateScalar(p *part, v val, base values) {
	item := trust.Item{File: v.src.file, Line: v.pos.Line, Needed: true}
	switch v.row.Key {
	case "ssh.forward_agent":
		if v.v == false {
			return
		}
		item.Kind, item.Access, item.Why = "ssh-agent", "signs with your SSH keys", "whoever is inside can log in wherever you can, while the session runs"
		item.Needed = base["ssh.forward_agent"].v != true
	case "ports.pool":
		item.Kind, item.Access, item.Why = "ports", "listens on ports of this machine", "programs on this machine can reach what listens inside"
		item.Fields = []trust.Field{{Name: "pool", Value: fmt.Sprint(v.v)}}
		item.Needed = !equal(v.v, base["ports.pool"].v)
	}
	p.ask(v, -1, item)
}

func (ld *loader) gateList(p *part, v val, list []elem, base values) []elem {
	list = slices.Clone(list)
	for i := range list {
		e := &list[i]
		if e.src.trusted {
			continue
		}
		e.seen = &seen{}
		switch v.row.Key {
		case "defaults.forward_env":
			ld.gateForward(p, v, i, e, base)
		case "network.allowed_domains":
			ld.gateDomain(p, v, i, e, base)
		case "mounts":
			ld.gateMount(p, v, i, e, base)
		case "sockets":
			ld.gatePath(p, v, i, e, "socket", []string{"host", "container", "env"}, "talks to a program on this machine", "what listens there acts with your rights")
		case "credentials":
			ld.gateCredential(p, v, i, e)
		case "ports.map":
			t := e.v.(map[string]any)
			p.ask(v, i, trust.Item{
				Kind: "port", Fields: fieldsOf(t, "name", "container", "host", "listen"), Access: "listens on a port of this machine",
				Why: "programs on this machine can reach what listens inside", File: e.src.file, Line: e.pos.Line, Needed: true,
			})
		}
	}
	return list
}

func fieldsOf(t map[string]any, names ...string) []trust.Field {
	var out []trust.Field
	for _, n := range names {
		if v, ok := t[n]; ok && v != nil {
			out = append(out, trust.Field{Name: n, Value: fmt.Sprint(v)})
		}
	}
	return out
}

func (ld *loader) gateForward(p *part, v val, i int, e *elem, base values) {
	name := e.v.(string)
	p.ask(v, i, trust.Item{
		Kind: "forward-env", Fields: []trust.Field{{Name: "name", Value: name}}, Access: "reads a variable of your shell",
		Why: "its value may be a secret", File: e.src.file, Line: e.pos.Line, Needed: !slices.Contains(texts(elems(base["defaults.forward_env"].v)), name),
	})
}

func (ld *loader) gateDomain(p *part, v val, i int, e *elem, base values) {
	entry := e.v.(string)
	e.seen.covered = coveredBy(entry, texts(elems(base["network.allowed_domains"].v)))
	d, err := dest.Parse(entry)
	if err != nil {
		return
	}
	if !e.seen.covered {
		why := ""
		if reach, slug := reachOf(d); reach != dest.Public {
			why = "is in a closed range (" + slug + ")"
		} else if d.Shared {
			why = "covers names that strangers register"
		}
		if why != "" {
			ld.ps.add(Problem{e.src.file, e.pos.Line, e.pos.Column, v.key, fmt.Sprintf("%q %s, which a project may not name", entry, why), "put it in " + ld.home.Shorten(ld.home.Config())})
		}
	}
	p.ask(v, i, trust.Item{
		Kind: "domain", Fields: []trust.Field{{Name: "name", Value: d.String()}}, Access: "sends data there in allowlist mode",
		Why: "your own list does not have it", File: e.src.file, Line: e.pos.Line, Needed: !e.seen.covered,
	})
}

func reachOf(d dest.Dest) (dest.Reach, string) {
	if !d.Prefix.IsValid() {
		return dest.Public, ""
	}
	return dest.ReachOf(d.Prefix)
}

func (ld *loader) gateMount(p *part, v val, i int, e *elem, base values) {
	t := e.v.(map[string]any)
	ld.gatePath(p, v, i, e, "mount", []string{"host", "container", "readonly", "shift"}, "reads and writes", "it lies outside the workspace")
	if len(p.items) == 0 || p.asked[len(p.asked)-1] != (asked{v.key, i}) {
		return
	}
	item := &p.items[len(p.items)-1]
	readonly := t["readonly"] == true
	if readonly {
		item.Access = "reads"
	}
	if e.seen.inWorkspace = ld.workspace != "" && trust.Within(item.Target.Path, ld.workspace); !e.seen.inWorkspace {
		return
	}
	rel, _ := filepath.Rel(ld.workspace, item.Target.Path)
	item.Kind, item.Why = "overlap", "it is a second way to files that are read-only or hidden inside"
	item.Needed = !readonly && overlaps(rel, protected(base))
}

// protected is the list of locked paths that holds without any project file.
func protected(base values) []string {
	list := slices.Concat(texts(elems(base["security.protected_paths"].v)), texts(elems(base["security.additional_protected_paths"].v)))
	free := texts(elems(base["security.writable_paths"].v))
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(free, s) })
}

func overlaps(rel string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		p = filepath.Clean(p)
		return rel == "." || trust.Within(rel, p) || trust.Within(p, rel)
	})
}

// gatePath asks for a host path by what it resolves to. A path that cannot be
// resolved, or resolves to what nobody may mount, is refused.
func (ld *loader) gatePath(p *part, v val, i int, e *elem, kind string, names []string, access, why string) {
	t := e.v.(map[string]any)
	host := t["host"].(string)
	target, err := trust.Resolve(host)
	reason := ""
	switch {
	case err != nil:
		reason = "cannot be resolved: " + trimPath(err, host)
	case target.Type == trust.Special:
		reason = "is a device or pipe"
	case kind == "socket" && target.Type != trust.Socket && target.Type != trust.Missing:
		reason = "is no socket"
	case ForbiddenHost(target.Path) != "":
		reason = ForbiddenHost(target.Path)
	}
	if reason != "" {
		ld.cfg.Refused = append(ld.cfg.Refused, Refusal{v.key, ld.home.Shorten(host), e.src.file, e.pos.Line, reason})
		e.seen = nil
		return
	}
	e.seen.target = target
	fields := fieldsOf(t, names...)
	fields[0].Value = ld.home.Shorten(host)
	p.ask(v, i, trust.Item{Kind: kind, Fields: fields, Target: &target, Access: access, Why: why, File: e.src.file, Line: e.pos.Line, Needed: true})
}

func (ld *loader) gateCredential(p *part, v val, i int, e *elem) {
	t := e.v.(map[string]any)
	bundle, ok := t["bundle"].(string)
	if !ok {
		ld.gatePath(p, v, i, e, "credential", []string{"host", "container", "mode"}, "reads", "it is copied into the session")
		return
	}
	p.ask(v, i, trust.Item{
		Kind: "credential", Fields: []trust.Field{{Name: "bundle", Value: bundle}}, Access: "reads your login for " + bundle,
		Why: "it is not the tool in use", File: e.src.file, Line: e.pos.Line, Needed: bundle != ld.toolName,
	})
}

// gateTool asks for the names that a tool needs when the tool is the project's choice.
func (ld *loader) gateTool(p *part, base values) {
	v, ok := p.layer.vals["tool.name"]
	if !ok || v.src.trusted {
		return
	}
	tool := v.v.(string)
	for _, name := range toolDomains[tool] {
		p.items = append(p.items, trust.Item{
			Kind: "tool-domain", Fields: []trust.Field{{Name: "name", Value: name}, {Name: "tool", Value: tool}},
			Access: "sends data there in allowlist mode", Why: "the project chose the tool that needs it", File: v.src.file, Line: v.pos.Line,
			Needed: tool == ld.toolName && tool != base["tool.name"].v && base["network.allow_tool_domains"].v == true,
		})
		p.asked = append(p.asked, asked{"", -1})
	}
}

// decide looks the items up in the store and drops what is not approved.
func (ld *loader) decide(p *part) {
	approved, changed := ld.store.Approved(p.unit, p.items)
	ld.cfg.units = append(ld.cfg.units, p.asUnit(approved, changed))
	approved = approved || ld.cfg.TrustAll
	drop := map[string][]int{}
	for _, n := range p.order() {
		item := p.items[n]
		if item.Needed {
			ld.cfg.Gated = append(ld.cfg.Gated, Item{item, approved, changed, p.unit})
		}
		a := p.asked[n]
		switch {
		case item.Kind == "overlap":
			// An approval of other items uncovers nothing here.
			elems(p.layer.vals[a.key].v)[a.elem].seen.overlap = approved && item.Needed
		case item.Kind == "tool-domain":
			ld.toolAllowed = ld.toolAllowed && (!item.Needed || approved)
		case item.Needed && !approved:
			drop[a.key] = append(drop[a.key], a.elem)
		}
		if item.Needed && !approved {
			ld.cfg.Warnings = append(ld.cfg.Warnings, ld.waiting(p.unit, item, changed))
		}
	}
	p.drop(drop)
}

// order lists the items as they stand in the file.
func (p *part) order() []int {
	out := make([]int, len(p.items))
	for n := range out {
		out[n] = n
	}
	slices.SortStableFunc(out, func(a, b int) int {
		return cmp.Or(strings.Compare(p.items[a].File, p.items[b].File), p.items[a].Line-p.items[b].Line)
	})
	return out
}

func (p *part) drop(drop map[string][]int) {
	for key, indexes := range drop {
		v := p.layer.vals[key]
		list, ok := v.v.([]elem)
		if !ok {
			delete(p.layer.vals, key)
			continue
		}
		kept := make([]elem, 0, len(list))
		for i, e := range list {
			if !slices.Contains(indexes, i) {
				kept = append(kept, e)
			}
		}
		v.v = kept
		p.layer.vals[key] = v
	}
	// Elements that were refused carry no look at what they mean.
	for key, v := range p.layer.vals {
		if list, ok := v.v.([]elem); ok && v.row.Scope == Gate {
			v.v = slices.DeleteFunc(list, func(e elem) bool { return !e.src.trusted && e.seen == nil })
			p.layer.vals[key] = v
		}
	}
}

func (ld *loader) waiting(unit string, item trust.Item, changed bool) Warning {
	what, result := item.String(), "ignored until approved"
	if item.Kind == "overlap" {
		result = "its protected part stays read-only until approved"
	}
	if changed {
		result += ": the file was approved with other items"
		if item.Target != nil && slices.ContainsFunc(ld.store.Approvals[unit].Items, func(s string) bool { return s != what && strings.HasPrefix(s, item.Words()) }) {
			result = strings.TrimSuffix(result, ": the file was approved with other items") + ": its target changed"
		}
	}
	return Warning{Text: item.File + ":" + strconv.Itoa(item.Line) + ": " + what + " " + result, Hints: []string{"coi trust"}, Gate: true}
}
