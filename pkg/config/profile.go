package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/near"
)

// maxParents is the deepest inheritance.
const maxParents = 10

// ProfileRef says where a profile is.
type ProfileRef struct {
	Name    string
	Source  string // user, project, env or built-in
	File    string // empty for a built-in one
	Trusted bool
}

func (r ProfileRef) String() string {
	if r.File == "" {
		return "the built-in profile " + r.Name
	}
	return r.Source + ":" + r.Name + " (" + r.File + ")"
}

// splitProfile takes "user:NAME" apart; source is empty without one.
func splitProfile(s string) (source, name string) {
	for _, source := range []string{"user", "project", "env"} {
		if name, ok := strings.CutPrefix(s, source+":"); ok {
			return source, name
		}
	}
	return "", s
}

// hardened is the built-in profile of that name. Its limits only tighten: what
// the layers below have stricter stays.
const hardened = `clear = ["forward_env", "sockets"]
[container]
persistent = false
[network]
mode = "restricted"
block_private_networks = true
block_metadata_endpoint = true
allow_local_network_access = false
ipv6 = false
[ssh]
forward_agent = false
[security]
disable_protection = false
host_immutable = true
strict_protection = true
reduce_kernel_surface = true
secret_paths = [".env", ".env.*", "*.pem", "*.key", "*.p12", "id_rsa", "id_ed25519", ".npmrc", ".netrc", ".git-credentials",
  "credentials.json", "service_account.json", "kubeconfig", "database.yml", "*.tfvars", "*.tfstate", "secrets/**"]
[monitoring]
enabled = true
auto_pause_on_high = true
auto_kill_on_critical = true
nft.enabled = true
[git]
protected_branches = ["main", "master"]
[limits.runtime]
max_duration = "4h"
`

var builtinProfiles = map[string]string{"default": "", "hardened": hardened}

// place is a directory that holds profiles.
type place struct {
	source  string
	dir     string
	trusted bool
}

// all lists every profile of all places, by name, then by source. Broken ones
// are in the list as well: nothing is parsed here.
func (ld *loader) all() []ProfileRef {
	var out []ProfileRef
	taken := map[string]bool{}
	for _, p := range ld.places {
		entries, _ := os.ReadDir(p.dir)
		for _, e := range entries {
			ref := ProfileRef{e.Name(), p.source, filepath.Join(p.dir, e.Name(), "config.toml"), p.trusted}
			if !ValidProfileName(ref.Name) || !exists(ref.File) {
				continue
			}
			if _, isBuiltin := builtinProfiles[ref.Name]; isBuiltin && !p.trusted {
				continue
			}
			taken[ref.Name] = true
			out = append(out, ref)
		}
	}
	for name := range builtinProfiles {
		if !taken[name] {
			out = append(out, ProfileRef{Name: name, Source: "built-in", Trusted: true})
		}
	}
	slices.SortStableFunc(out, func(a, b ProfileRef) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// find resolves a profile name as it was typed or written.
func (ld *loader) find(written string) (ProfileRef, *Problem) {
	source, name := splitProfile(written)
	var hits []ProfileRef
	if ValidProfileName(name) {
		for _, p := range ld.places {
			ref := ProfileRef{name, p.source, filepath.Join(p.dir, name, "config.toml"), p.trusted}
			if (source == "" || source == p.source) && exists(ref.File) {
				hits = append(hits, ref)
			}
		}
	}
	if _, isBuiltin := builtinProfiles[name]; isBuiltin {
		n := len(hits)
		hits = slices.DeleteFunc(hits, func(r ProfileRef) bool { return !r.Trusted })
		if len(hits) < n {
			ld.warn(Warning{Text: fmt.Sprintf("the project's profile %s is ignored: that name is built in", name), Hints: []string{"give it another name"}})
		}
		if len(hits) == 0 && source == "" {
			return ProfileRef{Name: name, Source: "built-in", Trusted: true}, nil
		}
	}
	switch len(hits) {
	case 0:
		return ProfileRef{}, &Problem{Key: "profile", Problem: fmt.Sprintf("unknown profile %q", written), Hint: ld.nearProfile(name)}
	case 1:
		return hits[0], nil
	}
	var where, names []string
	for _, r := range hits {
		where = append(where, r.File)
		names = append(names, r.Source+":"+r.Name)
	}
	return ProfileRef{}, &Problem{Key: "profile", Problem: fmt.Sprintf("profile %q is in %s", written, strings.Join(where, " and ")), Hint: "write " + strings.Join(names, " or ")}
}

func (ld *loader) nearProfile(name string) string {
	var names []string
	for _, r := range ld.all() {
		names = append(names, r.Name)
	}
	if n := near.Words(name, slices.Compact(names)); len(n) > 0 {
		return "did you mean " + strings.Join(n, ", ") + "?"
	}
	return "coi profile list"
}

// chain is a profile with its parents, the oldest first.
type chain struct {
	refs   []ProfileRef
	layers []*layer
	unit   string // file under whose path approvals are kept: the youngest untrusted profile
}

// load reads a profile and its parents. What reaches an untrusted profile from
// a trusted parent is untrusted as well, and so is what a trusted one takes
// from an untrusted parent.
func (ld *loader) load(ref ProfileRef, ps *problems) chain {
	var c chain
	trusted := true
	for depth := 0; ; depth++ {
		trusted = trusted && ref.Trusted
		if !trusted && c.unit == "" {
			c.unit = ref.File
		}
		l := ld.readProfile(ref, trusted, ps)
		if l == nil {
			return c
		}
		c.refs = slices.Insert(c.refs, 0, ref)
		c.layers = slices.Insert(c.layers, 0, l)
		if l.inherits == "" {
			return c
		}
		at := Problem{File: ref.File, Line: l.inhPos.Line, Column: l.inhPos.Column, Key: "inherits"}
		parent, p := ld.find(l.inherits)
		switch {
		case p != nil:
			at.Problem, at.Hint = p.Problem, p.Hint
		case slices.Contains(c.refs, parent):
			at.Problem = fmt.Sprintf("%q inherits from itself", l.inherits)
		case depth >= maxParents:
			at.Problem = fmt.Sprintf("more than %d parents", maxParents)
		default:
			ref = parent
			continue
		}
		ps.add(at)
		return c
	}
}

func (ld *loader) readProfile(ref ProfileRef, trusted bool, ps *problems) *layer {
	src, data, p := ld.openProfile(ref, trusted)
	if p != nil {
		ps.add(*p)
		return nil
	}
	return ld.decode(src, data, ps)
}

// checkProfile finds what is wrong with a profile that nobody uses now.
func (ld *loader) checkProfile(ref ProfileRef, ps *problems) {
	src, data, p := ld.openProfile(ref, ref.Trusted)
	if p != nil {
		ps.add(*p)
		return
	}
	switch inherits, ok := sound(src, data, ld.home); {
	case !ok:
		ld.decode(src, data, ps)
	case inherits:
		ld.load(ref, ps)
	}
}

func (ld *loader) openProfile(ref ProfileRef, trusted bool) (src *source, data []byte, p *Problem) {
	src = &source{kind: ProfileFile, profile: ref.Name, file: ref.File, trusted: trusted, isProf: true}
	if ref.File == "" {
		src.kind = BuiltIn
		return src, []byte(builtinProfiles[ref.Name]), nil
	}
	src.fileDir = filepath.Dir(ref.File)
	src.hostDir = src.fileDir
	var ok bool
	if ref.Source == "project" {
		src.hostDir, src.coiDir = ld.workspace, filepath.Join(ld.workspace, ".coi")
		data, ok, p = readProject(ld.workspace, filepath.Join(".coi", "profiles", ref.Name, "config.toml"))
	} else {
		data, ok, p = readTrusted(ref.File)
	}
	if p == nil && !ok {
		p = &Problem{File: ref.File, Problem: "no such file"}
	}
	return src, data, p
}

func (ld *loader) decode(src *source, data []byte, ps *problems) *layer {
	doc, p := parse(src, data)
	if p != nil {
		ps.add(*p)
		return nil
	}
	return decode(doc, ld.home, ps)
}

// flatten resolves inheritance: one layer, each value still knowing its file.
func (c chain) flatten() *layer {
	out := &layer{vals: values{}}
	for _, l := range c.layers {
		merge(out.vals, l, true)
		for _, name := range l.clear {
			if !slices.Contains(out.clear, name) {
				out.clear = append(out.clear, name)
			}
		}
		if l.context != "" {
			out.context, out.ctxPos, out.src = l.context, l.ctxPos, l.src
		}
		out.notes = append(out.notes, l.notes...)
	}
	return out
}
