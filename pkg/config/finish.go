package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/cli/near"
	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// variables are all COI_ variables that mean something.
var variables = []string{
	"COI_HOME", "COI_CONFIG", "COI_CONTAINER", "COI_CONTAINER_PREFIX", "COI_TRUST_ALL", "COI_APT_MIRROR", "COI_NPM_REGISTRY", "COI_TIMING_DEBUG", "COI_USE_DUMMY",
}

// environment reads the variables that touch configuration.
func (ld *loader) environment() {
	switch v := ld.Getenv("COI_TRUST_ALL"); strings.ToLower(v) {
	case "":
	case "1", "true", "yes":
		ld.cfg.TrustAll = true
		ld.cfg.Notes = append(ld.cfg.Notes, Warning{Text: "COI_TRUST_ALL is set: everything the project asks for counts as approved"})
	default:
		ld.ps.add(Problem{Key: "COI_TRUST_ALL", Problem: fmt.Sprintf("%q is not allowed", v), Hint: "allowed: 1 true yes, or unset it"})
	}
	for _, kv := range ld.Environ {
		name, _, _ := strings.Cut(kv, "=")
		// Variables that the session itself sets inside are no mistake.
		if !strings.HasPrefix(name, "COI_") || slices.Contains(variables, name) || strings.HasPrefix(name, "COI_PORT") {
			continue
		}
		w := Warning{Text: "unknown variable " + name + " has no effect"}
		if n := near.Words(name, variables); len(n) > 0 {
			w.Text += "; did you mean " + n[0] + "?"
		}
		ld.warn(w)
	}
}

// context reads the file that the profile adds to the context of the agent.
func (ld *loader) context() {
	l := ld.chain.flatten()
	if l.context == "" {
		return
	}
	src := l.src
	path := absolute(ld.home, src.fileDir, l.context)
	fail := func(problem, hint string) {
		ld.ps.add(Problem{src.file, l.ctxPos.Line, l.ctxPos.Column, "context", problem, hint})
	}
	var f *os.File
	var err error
	if !src.trusted {
		rel, relErr := filepath.Rel(src.coiDir, path)
		if src.coiDir == "" || relErr != nil || !filepath.IsLocal(rel) {
			ld.cfg.Refused = append(ld.cfg.Refused, Refusal{"context", l.context, src.file, l.ctxPos.Line, outside})
			return
		}
		f, err = trust.OpenBeneath(src.coiDir, rel)
		if err != nil && !home.Missing(err) {
			ld.cfg.Refused = append(ld.cfg.Refused, Refusal{"context", l.context, src.file, l.ctxPos.Line, outside})
			return
		}
	} else {
		f, err = home.OpenTrusted(path)
	}
	if err != nil {
		fail(fmt.Sprintf("cannot read %s: %s", path, trimPath(err, path)), "write the file, or remove the key")
		return
	}
	data, _, p := readAll(path, f)
	if p != nil || !utf8.Valid(data) {
		fail(path+" is no text of at most 1 MiB", "")
		return
	}
	ld.cfg.Context = Context{path, string(data)}
}

// finish makes the typed configuration.
func (ld *loader) finish(vals values) *Config {
	c := ld.cfg
	c.values = vals
	bind(c, vals)
	if c.Container.Build.Base == "" && c.Container.Image == "coi-default" {
		c.Container.Build.Base = "ubuntu:24.04"
	} else if c.Container.Build.Base == "" {
		c.Container.Build.Base = "coi-default"
	}
	c.Security.ReduceKernelSurface = c.Security.ReduceKernelSurface || c.Security.ReduceKernelSurfaceStrict
	c.Network.AllowedDomains = domains(elems(vals["network.allowed_domains"].v))
	c.Notes = append(c.Notes, covered(c.Network.AllowedDomains)...)
	if c.Tool.Custom.Save == nil && c.Tool.Custom.ConfigDir != "" {
		c.Tool.Custom.Save = []string{c.Tool.Custom.ConfigDir}
	}
	ld.lists(c, vals)
	ld.free(c, vals)
	if c.Network.AllowToolDomains && ld.toolAllowed {
		c.ToolDomains = ld.toolDomains(c, vals)
	}
	for _, r := range c.Refused {
		c.Warnings = append(c.Warnings, r.Warning(c.Home))
	}
	if p, ok := vals["container.persistent"]; ok && p.v == true && !p.src.trusted {
		c.Notes = append(c.Notes, Warning{Text: fmt.Sprintf("%s:%d: the project keeps its container after the session", p.src.file, p.pos.Line)})
	}
	for _, l := range ld.chain.layers {
		c.Notes = append(c.Notes, l.notes...)
	}
	return c
}

// Warning is the line that tells of a refusal.
func (r Refusal) Warning(h home.Home) Warning {
	return Warning{Text: fmt.Sprintf("%s:%d: %s = %s refused: %s", r.File, r.Line, r.Key, Format(r.Value), r.Reason), Hints: []string{"put it in " + h.Shorten(h.Config())}, Gate: true}
}

func domains(list []elem) []Domain {
	out := make([]Domain, 0, len(list))
	for _, e := range list {
		s, _ := e.v.(string)
		if d, err := dest.Parse(s); err == nil {
			out = append(out, Domain{d, s, e.seen == nil || e.seen.covered, e.origin()})
		}
	}
	return out
}

// covered notes entries that another entry makes needless.
func covered(list []Domain) []Warning {
	var out []Warning
	for i, d := range list {
		for j, o := range list {
			if i != j && o.Covers(d.Dest) && (j < i || !d.Covers(o.Dest)) {
				out = append(out, Warning{Text: fmt.Sprintf("%s: %q is covered by %q", d.Origin, d.Written, o.Written)})
				break
			}
		}
	}
	return out
}

func (ld *loader) toolDomains(c *Config, vals values) []Domain {
	names, v := toolDomains[c.Tool.Name], vals["tool.name"]
	if c.Tool.Name == "custom" {
		return domains(elems(vals["tool.custom.domains"].v))
	}
	out := make([]Domain, 0, len(names))
	for _, name := range names {
		if d, err := dest.Parse(name); err == nil {
			out = append(out, Domain{d, name, true, v.origin()})
		}
	}
	return out
}

// lists fills the fields that hold tables.
func (ld *loader) lists(c *Config, vals values) {
	each := func(key string, use func(t map[string]any, e elem, trusted bool, target trust.Target)) {
		for _, e := range elems(vals[key].v) {
			target := trust.Target{}
			if e.seen != nil {
				target = e.seen.target
			}
			use(e.v.(map[string]any), e, e.src.trusted, target)
		}
	}
	str := func(t map[string]any, k string) string { s, _ := t[k].(string); return s }
	num := func(t map[string]any, k string) int { n, _ := t[k].(int64); return int(n) }
	each("mounts", func(t map[string]any, e elem, trusted bool, target trust.Target) {
		m := Mount{Host: str(t, "host"), Container: filepath.Clean(str(t, "container")), ReadOnly: t["readonly"] == true, Trusted: trusted, Target: target, Origin: e.origin()}
		if b, ok := t["shift"].(bool); ok {
			m.Shift = &b
		}
		if e.seen != nil {
			m.InWorkspace, m.Overlap = e.seen.inWorkspace, e.seen.overlap
		}
		c.Mounts = append(c.Mounts, m)
	})
	each("sockets", func(t map[string]any, e elem, trusted bool, target trust.Target) {
		c.Sockets = append(c.Sockets, Socket{str(t, "host"), filepath.Clean(str(t, "container")), str(t, "env"), trusted, target, e.origin()})
	})
	each("credentials", func(t map[string]any, e elem, trusted bool, target trust.Target) {
		cr := Credential{Bundle: str(t, "bundle"), Host: str(t, "host"), Container: str(t, "container"), Trusted: trusted, Target: target, Origin: e.origin()}
		if cr.Bundle == "" {
			mode, _ := strconv.ParseUint(str(t, "mode"), 8, 32)
			cr.Mode = uint32(mode)
		}
		c.Credentials = append(c.Credentials, cr)
	})
	each("ports.map", func(t map[string]any, e elem, trusted bool, _ trust.Target) {
		listen, _ := netip.ParseAddr(str(t, "listen"))
		c.Ports.Map = append(c.Ports.Map, PortMap{str(t, "name"), num(t, "container"), num(t, "host"), listen, trusted, e.origin()})
	})
	each("network.hosts", func(t map[string]any, e elem, _ bool, _ trust.Target) {
		names, _ := t["hostnames"].([]string)
		list, _ := t["ports"].([]string)
		c.Network.Hosts = append(c.Network.Hosts, HostEntry{str(t, "ip"), names, portList(list), e.origin()})
	})
}

// free fills the fields whose names the user chooses.
func (ld *loader) free(c *Config, vals values) {
	c.Prompts = map[string]Prompt{}
	for key, v := range vals {
		switch v.row.Key {
		case "workspaces":
			c.Workspaces = append(c.Workspaces, WorkspaceRule{filepath.Clean(ld.home.Expand(workspaceDir(key))), v.v.(string)})
		case "prompts":
			c.Prompts[unquote(strings.TrimPrefix(key, "prompts."))], _ = v.v.(Prompt)
		}
	}
	slices.SortFunc(c.Workspaces, func(a, b WorkspaceRule) int { return strings.Compare(a.Dir, b.Dir) })
}
