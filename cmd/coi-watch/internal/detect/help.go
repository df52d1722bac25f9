package detect

import (
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// execs is what command-line detectors want.
var execs = []event.Type{event.Exec}

// rule judges one simple command; nil means nothing to say.
type rule func(s *command.Simple, v track.View) *Finding

// onCommands makes a detector of a rule: every simple command of an exec is
// judged and the gravest finding is kept, so one line gives one finding.
func onCommands(r rule) func(event.Event, track.View) []Finding {
	return func(_ event.Event, v track.View) []Finding {
		c := v.Command()
		if c == nil {
			return nil
		}
		var best *Finding
		for _, s := range c.Simples {
			f := r(s, v)
			if f == nil {
				continue
			}
			if s.Remote && f.Level.Rank() > coi.Warning.Rank() && !strings.HasPrefix(f.Rule, "shell.") {
				f.Level = coi.Warning // it happens on another machine
			}
			if best == nil || f.Level.Rank() > best.Level.Rank() {
				best = f
			}
		}
		if best == nil {
			return nil
		}
		return []Finding{*best}
	}
}

// either joins a command-line rule with one for other events.
func either(r rule, other func(event.Event, track.View) []Finding) func(event.Event, track.View) []Finding {
	commands := onCommands(r)
	return func(ev event.Event, v track.View) []Finding {
		if ev.Type == event.Exec {
			if f := commands(ev, v); f != nil {
				return f
			}
		}
		return other(ev, v)
	}
}

// firstOf is the gravest of what some detectors have to say, and of the same
// level the first.
func firstOf(all ...func(event.Event, track.View) []Finding) func(event.Event, track.View) []Finding {
	return func(ev event.Event, v track.View) []Finding {
		var best []Finding
		for _, one := range all {
			if f := one(ev, v); f != nil && (best == nil || f[0].Level.Rank() > best[0].Level.Rank()) {
				best = f
			}
		}
		return best
	}
}

// say makes a finding about a command.
func say(s *command.Simple, l coi.Level, title string) *Finding {
	return &Finding{Level: l, Title: title, Command: cut(s.Line(), 400)}
}

// at adds the file to a finding.
func (f *Finding) at(p string, op command.Op) *Finding {
	f.Path, f.Op = p, string(op)
	return f
}

// to adds the destination to a finding.
func (f *Finding) to(host string) *Finding {
	f.Host = host
	return f
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// one is the result of an event detector.
func one(f Finding) []Finding { return []Finding{f} }

// inWorkspace reports paths of the user's own project.
func inWorkspace(v track.View, p string) bool {
	w := v.Settings().Workspace
	if w == "" {
		w = "/workspace"
	}
	return p == w || strings.HasPrefix(p, w+"/")
}

// classes of a file a command touches; nothing for the workspace.
func classes(v track.View, a command.Access) []paths.Class {
	if inWorkspace(v, a.Path) {
		return nil
	}
	return a.Classes
}

// textual reports programs whose arguments are words to print, search or edit,
// not things to do.
func textual(s *command.Simple) bool {
	switch s.Name {
	case "echo", "printf", "git", "gh", "sed", "awk", "jq", "yq", "man", "test", "[", "export", "alias", "read", "commit", "true", ":", "":
		return true
	}
	return s.Class() == program.Search || s.Class() == program.Editor
}

// outHost is the first host a command names that is not this machine; "" if
// there is none.
func outHost(s *command.Simple) string {
	for _, h := range s.Hosts() {
		if !command.Loopback(h) {
			return h
		}
	}
	return ""
}

// loopbackOnly reports commands that name hosts and all of them are this machine.
func loopbackOnly(s *command.Simple) bool {
	hs := s.Hosts()
	for _, h := range hs {
		if !command.Loopback(h) {
			return false
		}
	}
	return len(hs) > 0
}

func hasAny(s string, list ...string) bool {
	for _, w := range list {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

func hasPrefixAny(s string, list ...string) bool {
	for _, w := range list {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}

func oneOf(s string, list ...string) bool {
	return slices.Contains(list, s)
}

// hostSet is a list of names that also stands for every name below one of them.
type hostSet map[string]bool

func hostsOf(list string) hostSet {
	set := hostSet{}
	for n := range strings.FieldsSeq(list) {
		set[n] = true
	}
	return set
}

// hostIn reports whether a host is one of the names or below one of them.
func hostIn(host string, set hostSet) bool {
	if !strings.Contains(host, ".") && !set[host] {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for host != "" {
		if set[host] {
			return true
		}
		_, host, _ = strings.Cut(host, ".")
	}
	return false
}

func base(p string) string { return path.Base(p) }

// packaged reports that a package manager is at work: it, or a parent of the
// process, is one.
func packaged(s *command.Simple, v track.View) bool {
	for p := s; p != nil; p = p.Parent {
		if oneOf(p.Name, "apt", "dpkg", "dnf", "yum", "rpm", "apk", "pacman", "zypper", "update-rc.d", "unattended-upgrade", "dpkg-deb") {
			return true
		}
	}
	for _, n := range v.Names() {
		if oneOf(n, "apt", "dpkg", "dnf", "yum", "rpm", "apk", "pacman", "zypper", "unattended-upgrade", "packagekitd", "snapd") {
			return true
		}
	}
	return false
}

// changes are the operations that alter a file.
func changes(op command.Op) bool {
	return op == command.Write || op == command.Append || op == command.Link
}

// files is what file detectors want besides exec.
var files = []event.Type{event.Exec, event.Open, event.Write, event.Create, event.Rename, event.Delete, event.Attrib}

// target is the path an event leaves behind: the new name of a rename.
func target(ev event.Event) string {
	if ev.Type == event.Rename && ev.Path2 != "" {
		return ev.Path2
	}
	return ev.Path
}
