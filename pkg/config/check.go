package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// check looks at values that depend on each other, after everything is merged.
func (ld *loader) check(vals values) {
	text := func(key string) string { s, _ := vals[key].v.(string); return s }
	fail := func(key, hint, format string, a ...any) {
		v := vals[key]
		p := Problem{Key: key, Problem: fmt.Sprintf(format, a...), Hint: hint}
		if v.src != nil {
			p.File, p.Line, p.Column = v.src.file, v.pos.Line, v.pos.Column
		}
		ld.ps.add(p)
	}
	if text("timezone.mode") == "fixed" && text("timezone.name") == "" {
		fail("timezone.mode", `set timezone.name = "Europe/Rome"`, `"fixed" needs timezone.name`)
	}
	if name, email := text("git.name"), text("git.email"); (name == "") != (email == "") {
		key := "git.name"
		if email != "" {
			key = "git.email"
		}
		fail(key, "set git.name and git.email, or none", "name and email go together")
	}
	if text("tool.name") == "custom" && len(elems(vals["tool.custom.command"].v)) == 0 {
		fail("tool.name", "set tool.custom.command", `"custom" needs tool.custom.command`)
	}
	if v, ok := vals["container.build.agents"]; ok && len(elems(v.v)) == 0 {
		fail("container.build.agents", "allowed: "+words(agents), "is empty")
	}
	if alias := text("container.alias"); alias != "" && strings.HasPrefix(alias, ld.home.Prefix) {
		fail("container.alias", "choose a name that does not start with "+ld.home.Prefix, "%q looks like a container's name", alias)
	}
	if m, ok := vals["network.mark"].v.(int64); ok && m&(m-1) != 0 {
		fail("network.mark", "allowed: one bit of 32, such as 0x02000000", "%#x is more than one bit", m)
	}
	ld.checkDisk(text, fail)
	ld.checkTime(text, fail)
	ld.checkFiles(text, fail)
	ld.checkTargets(vals)
}

type failFunc func(key, hint, format string, a ...any)

func (ld *loader) checkDisk(text func(string) string, fail failFunc) {
	size, maximum := text("limits.disk.size"), text("limits.disk.max")
	if n, err := ParseSize(maximum); err == nil && size != "" {
		if m, err := ParseSize(size); err == nil && n != m {
			fail("limits.disk.max", "set one of them", "limits.disk.max = %q and limits.disk.size = %q are two sizes", maximum, size)
		}
	}
	if _, err := ParseRate(maximum); err != nil {
		return
	}
	for _, key := range []string{"limits.disk.read", "limits.disk.write"} {
		if text(key) != "" {
			fail(key, "set limits.disk.max, or read and write", "cannot stand beside limits.disk.max = %q, which caps both", maximum)
		}
	}
}

func (ld *loader) checkTime(text func(string) string, fail failFunc) {
	longest, _ := ParseDuration(text("limits.runtime.max_duration"))
	warn, _ := ParseDuration(text("limits.runtime.warn_before"))
	if longest > 0 && warn > longest && text("limits.runtime.warn_before") != byKey["limits.runtime.warn_before"].Default {
		fail("limits.runtime.warn_before", "allowed: 0 to limits.runtime.max_duration", "%q is longer than the session", text("limits.runtime.warn_before"))
	}
}

func (ld *loader) checkFiles(text func(string) string, fail failFunc) {
	if path := text("tool.context_file"); path != "" {
		if _, err := home.ReadRegular(path, maxFile); err != nil {
			fail("tool.context_file", "allowed: a readable text up to 1 MiB", "%q cannot be used", path)
		}
	}
	if path := text("tool.context_json_file"); path != "" {
		data, err := home.ReadRegular(path, maxFile)
		if err != nil || !json.Valid(data) {
			fail("tool.context_json_file", "allowed: a file of valid JSON", "%q cannot be used", path)
		}
	}
}

// checkTargets finds two mounts, sockets or credentials at one place inside,
// and mounts above a locked path.
func (ld *loader) checkTargets(vals values) {
	taken := map[string]elem{}
	for _, key := range []string{"mounts", "sockets", "credentials"} {
		for _, e := range elems(vals[key].v) {
			t := e.v.(map[string]any)
			if host, _ := t["host"].(string); ld.incusAt(host) {
				ld.ps.add(Problem{e.src.file, e.pos.Line, e.pos.Column, key + ".host", fmt.Sprintf("%q holds the Incus socket, which is as good as root", host), "mount a directory elsewhere"})
			}
			inside, _ := t["container"].(string)
			if inside == "" {
				continue
			}
			inside = filepath.Clean(inside)
			at := Problem{File: e.src.file, Line: e.pos.Line, Column: e.pos.Column, Key: key + ".container"}
			if first, twice := taken[inside]; twice {
				at.Problem, at.Hint = fmt.Sprintf("%q is the target of %s:%d too", inside, first.src.file, first.pos.Line), "give each its own"
				ld.ps.add(at)
				continue
			}
			taken[inside] = e
			if locked := ld.aboveLocked(inside, vals); locked != "" {
				at.Problem, at.Hint = fmt.Sprintf("%q would cover the protected path %s", inside, locked), "mount it elsewhere"
				ld.ps.add(at)
			}
		}
	}
}

// incusAt reports whether a host path is, holds or lies in the place of the
// Incus socket that the caller's environment names.
func (ld *loader) incusAt(host string) bool {
	dirs := []string{ld.Getenv("INCUS_DIR")}
	if s := ld.Getenv("INCUS_SOCKET"); s != "" {
		dirs = append(dirs, filepath.Dir(s))
	}
	return host != "" && slices.ContainsFunc(dirs, func(d string) bool {
		d = filepath.Clean(d)
		return filepath.IsAbs(d) && (trust.Within(host, d) || trust.Within(d, host))
	})
}

// aboveLocked names the protected path that a target in the workspace would hide.
func (ld *loader) aboveLocked(inside string, vals values) string {
	roots := []string{"/workspace"}
	if vals["paths.preserve_workspace_path"].v == true && ld.workspace != "" {
		roots = append(roots, ld.workspace)
	}
	for _, root := range roots {
		for _, p := range protected(vals) {
			if locked := filepath.Join(root, p); trust.Within(locked, inside) || trust.Within(inside, locked) {
				return p
			}
		}
	}
	return ""
}
