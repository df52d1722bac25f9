package engine

import (
	"path"
	"strconv"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/pattern"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/rulefile"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/sigma"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// maxSimples bounds how many commands of one line rule files look at.
const maxSimples = 64

// Rules is what the rule files of the user say.
type Rules struct {
	sigma    *sigma.Set
	patterns []*pattern.Pattern
	not      []pattern.Unsupported
	common   map[string]lowered // Sigma rules that fire on ordinary work
}

// lowered is a rule that was written for a higher level.
type lowered struct {
	line string // of ordinary work
	from coi.Level
}

// soften lowers to info the Sigma rules that fire on ordinary work: public
// rules are written for servers, where nobody develops. What they say is
// recorded; the user's own levels can raise it again.
func (r *Rules) soften() {
	r.common = map[string]lowered{}
	if len(r.sigma.Rules) == 0 {
		return
	}
	for _, line := range ordinary() {
		c := command.ParseText(line, command.Env{})
		for _, s := range c.Simples {
			for _, rec := range execRecords(s, event.Event{Type: event.Exec, PID: 2, PPID: 1}, nil) {
				for _, m := range r.sigma.Match(&rec) {
					if m.Level.Rank() > coi.Info.Rank() {
						r.common[m.ID] = lowered{line, m.Level}
						m.Level = coi.Info
					}
				}
			}
		}
	}
}

// ordinary are the lines that no rule should call a warning: everyday work, and
// the quiet samples of one detector that no other calls a warning either.
func ordinary() []string {
	plain := Config{Workspace: "/workspace", Home: "/home/code", User: "code", Rules: &Rules{sigma: sigma.NewSet(nil, nil)}}
	var out []string
	for _, w := range detect.Everyday {
		out = append(out, w.Quiet...)
	}
	for _, d := range detect.All {
		for _, s := range d.Quiet {
			if s.Line != "" && s.Level == "" && Judge(plain, s, "").Rank() < coi.Warning.Rank() {
				out = append(out, s.Line)
			}
		}
	}
	return out
}

// LoadRules reads the rule files of the folders in cfg. The error is about a
// folder; broken files are listed by Engine.Rules.
func LoadRules(cfg Config) (*Rules, error) {
	set := &Rules{sigma: sigma.NewSet(nil, nil)}
	if cfg.SigmaDir != "" {
		files, err := rulefile.Read(cfg.SigmaDir, ".yml", ".yaml")
		if err != nil {
			return set, err
		}
		var rules []*sigma.Rule
		var not []sigma.Unsupported
		for _, f := range files {
			if f.Err != nil {
				not = append(not, sigma.Unsupported{ID: f.Path, Source: f.Path, Reason: f.Err.Error()})
				continue
			}
			r, n := sigma.Parse(f.Data, f.Path)
			rules, not = append(rules, r...), append(not, n...)
		}
		set.sigma = sigma.NewSet(rules, not)
		set.soften()
	}
	if err := set.read(cfg.PatternD, pattern.Parse, ".toml"); err != nil {
		return set, err
	}
	return set, set.read(cfg.GTFODir, pattern.GTFOBins, ".md", ".yml", "")
}

func (r *Rules) read(dir string, parse func([]byte, string) ([]*pattern.Pattern, []pattern.Unsupported), suffixes ...string) error {
	if dir == "" {
		return nil
	}
	files, err := rulefile.Read(dir, suffixes...)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range files {
		if f.Err != nil {
			r.not = append(r.not, pattern.Unsupported{ID: f.Path, Source: f.Path, Reason: f.Err.Error()})
			continue
		}
		loaded, not := parse(f.Data, f.Path)
		r.not = append(r.not, not...)
		for _, p := range loaded {
			if seen[p.ID] {
				r.not = append(r.not, pattern.Unsupported{ID: p.ID, Title: p.Title, Source: f.Path, Reason: "the id is used twice"})
				continue
			}
			seen[p.ID] = true
			r.patterns = append(r.patterns, p)
		}
	}
	return nil
}

// match runs rule files over an event, and over each command that an exec
// stands for. A rule is said once an event.
func (r *Rules) match(ev event.Event, v track.View) []detect.Finding {
	if len(r.sigma.Rules) == 0 && len(r.patterns) == 0 {
		return nil
	}
	said := map[string]bool{}
	var out []detect.Finding
	add := func(id, title, line string, level coi.Level) {
		if !said[id] {
			said[id] = true
			out = append(out, detect.Finding{Rule: id, Level: level, Title: title, Why: "a rule file says so", Command: line})
		}
	}
	chain := v.Names()
	if c := v.Command(); c != nil {
		for i, s := range c.Simples {
			if i == maxSimples {
				break
			}
			for _, rec := range execRecords(s, ev, chain) {
				for _, m := range r.sigma.Match(&rec) {
					add("sigma:"+m.ID, m.Title, s.Line(), m.Level)
				}
			}
			r.patternsOf(pattern.Inputs(s, chain), s.Line(), add)
		}
		return out
	}
	if rec, ok := otherRecord(ev, v); ok {
		for _, m := range r.sigma.Match(&rec) {
			add("sigma:"+m.ID, m.Title, "", m.Level)
		}
	}
	r.patternsOf(eventInputs(ev, v, chain), "", add)
	return out
}

func (r *Rules) patternsOf(ins []pattern.Input, line string, add func(id, title, line string, level coi.Level)) {
	for _, p := range r.patterns {
		for _, in := range ins {
			if p.Match(in) {
				add("pattern:"+p.ID, p.Title, line, p.Severity())
			}
		}
	}
}

func (r *Rules) problems() []string {
	var out []string
	for _, u := range r.sigma.Unsupported {
		out = append(out, "sigma:"+u.ID+": "+u.Reason)
	}
	for _, u := range r.not {
		out = append(out, "pattern:"+u.ID+": "+u.Reason)
	}
	return out
}

// image is the path of a program as Sigma rules expect it.
func image(s *command.Simple) string {
	if s == nil {
		return "/bin/bash"
	}
	if path.IsAbs(s.Prog) && !s.Renamed {
		return s.Prog
	}
	if program.Known(s.Name) || s.Prog == s.Name {
		return "/usr/bin/" + s.Name
	}
	return s.Abs(s.Prog)
}

func execRecords(s *command.Simple, ev event.Event, chain []string) []sigma.Record {
	if len(s.Argv) == 0 {
		return nil
	}
	parent, line := image(s.Parent), ""
	if s.Parent != nil {
		line = s.Parent.Line()
	} else if len(chain) > 1 {
		parent = "/usr/bin/" + chain[1]
	}
	user := "code"
	if s.Root || ev.UID != nil && *ev.UID == 0 {
		user = "root"
	}
	img := image(s)
	p := sigma.Record{Kind: sigma.Process, Fields: map[string][]string{
		"Image": {img}, "OriginalFileName": {s.Name}, "CommandLine": {s.Line()}, "CurrentDirectory": {s.CWD}, "User": {user},
		"ProcessId": {strconv.Itoa(ev.PID)}, "ParentImage": {parent}, "ParentCommandLine": {line}, "ParentProcessId": {strconv.Itoa(ev.PPID)},
	}}
	a := sigma.Record{Kind: sigma.Audit, Text: s.Line(), Fields: map[string][]string{
		"type": {"EXECVE", "SYSCALL"}, "argc": {strconv.Itoa(len(s.Argv))}, "exe": {img}, "comm": {s.Name}, "syscall": {"execve", "59"}, "SYSCALL": {"execve"}, "cwd": {s.CWD},
	}}
	if ev.UID != nil {
		a.Fields["uid"] = []string{strconv.Itoa(*ev.UID)}
		a.Fields["euid"] = a.Fields["uid"]
	}
	for i, w := range s.Argv {
		if i < 64 {
			a.Fields["a"+strconv.Itoa(i)] = []string{w}
		}
	}
	out := []sigma.Record{p, a}
	for _, x := range s.Accesses() {
		kind := ""
		switch x.Op {
		case command.Write, command.Append, command.Link:
			kind = "CREATE"
			out = append(out, sigma.Record{Kind: sigma.File, Fields: map[string][]string{"TargetFilename": {x.Path}, "Image": {img}, "User": {user}}})
		case command.Delete:
			kind = "DELETE"
		default:
			kind = "NORMAL"
		}
		if len(out) < 16 {
			out = append(out, sigma.Record{Kind: sigma.Audit, Text: x.Path, Fields: map[string][]string{"type": {"PATH"}, "name": {x.Path}, "nametype": {kind}, "exe": {img}}})
		}
	}
	for _, h := range s.Hosts() {
		out = append(out, sigma.Record{Kind: sigma.Network, Fields: map[string][]string{"DestinationHostname": {h}, "DestinationIp": {h}, "Initiated": {"true"}, "Image": {img}}})
	}
	return out
}

func otherRecord(ev event.Event, v track.View) (sigma.Record, bool) {
	img := []string{v.Proc().Exe}
	switch ev.Type {
	case event.Create, event.Write, event.Rename:
		p := ev.Path
		if ev.Type == event.Rename {
			p = ev.Path2
		}
		return sigma.Record{Kind: sigma.File, Fields: map[string][]string{"TargetFilename": {p}, "Image": img}}, true
	case event.Connect:
		name := ev.Name
		if name == "" {
			name = v.NameOf(ev.Peer)
		}
		return sigma.Record{Kind: sigma.Network, Fields: map[string][]string{
			"DestinationIp": {ev.Peer}, "DestinationHostname": {name}, "DestinationPort": {strconv.Itoa(ev.Port)},
			"Initiated": {strconv.FormatBool(ev.Dir != "in")}, "Image": img, "SourceIp": {ev.Local}, "Protocol": {ev.Proto},
		}}, true
	case event.Authlog:
		return sigma.Record{Kind: sigma.Log, Text: ev.Text}, true
	case event.Syscall, event.Module, event.Ptrace:
		return sigma.Record{Kind: sigma.Audit, Fields: map[string][]string{"type": {"SYSCALL"}, "syscall": {ev.Op}, "SYSCALL": {ev.Op}, "exe": img}}, true
	}
	return sigma.Record{}, false
}

func eventInputs(ev event.Event, v track.View, chain []string) []pattern.Input {
	p := v.Proc()
	f := map[string]string{"class": string(p.Class), "name": p.Name, "path": ev.Path, "host": ev.Name, "port": strconv.Itoa(ev.Port)}
	kind := ""
	switch ev.Type {
	case event.Open:
		kind = "open"
	case event.Write, event.Create, event.Delete:
		kind = "write"
	case event.Rename:
		kind, f["path"] = "write", ev.Path2
	case event.Connect:
		kind = "connect"
		if f["host"] == "" {
			f["host"] = ev.Peer
		}
	case event.DNS:
		kind = "dns"
	default:
		return nil
	}
	return []pattern.Input{{Kind: kind, Fields: f, Chain: chain}}
}

// RuleInfo is one rule in force or not, for `watch rules list`.
type RuleInfo struct {
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	Level  coi.Level `json:"level,omitempty"`
	Source string    `json:"source"` // "coi", or a rule file
	Loaded bool      `json:"loaded"`
	Reason string    `json:"reason,omitempty"`
	Common string    `json:"common,omitempty"` // ordinary line that it fires on, which is why its level is info
}

// Rules lists every detector and every rule of a file, loaded or not.
func (e *Engine) Rules() []RuleInfo {
	var out []RuleInfo
	for i, d := range detect.All {
		out = append(out, RuleInfo{ID: d.ID, Title: d.Title, Level: d.Level, Source: "coi", Loaded: e.slow[i] < 3})
	}
	for _, r := range e.rules.sigma.Rules {
		out = append(out, RuleInfo{ID: "sigma:" + r.ID, Title: r.Title, Level: r.Level, Source: r.Source, Loaded: true, Common: e.rules.common[r.ID].line})
	}
	for _, p := range e.rules.patterns {
		out = append(out, RuleInfo{ID: "pattern:" + p.ID, Title: p.Title, Level: p.Severity(), Source: p.Source, Loaded: true})
	}
	for _, u := range e.rules.sigma.Unsupported {
		out = append(out, RuleInfo{ID: "sigma:" + u.ID, Title: u.Title, Source: u.Source, Reason: u.Reason})
	}
	for _, u := range e.rules.not {
		out = append(out, RuleInfo{ID: "pattern:" + u.ID, Title: u.Title, Source: u.Source, Reason: u.Reason})
	}
	return out
}
