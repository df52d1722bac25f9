// Package pattern reads the user's own rules: small TOML tables with samples
// that must fire and samples that must not.
package pattern

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Pattern is one rule of the user.
type Pattern struct {
	ID        string            `toml:"id"`
	Title     string            `toml:"title"`
	Level     string            `toml:"level"`
	AllowKill bool              `toml:"allow_kill"`
	Exec      map[string]string `toml:"exec"`    // class, name, argv, exe, cwd
	Open      map[string]string `toml:"open"`    // path, name, class
	Write     map[string]string `toml:"write"`   // path, name, class
	Connect   map[string]string `toml:"connect"` // host, port, name, class
	DNS       map[string]string `toml:"dns"`     // host
	Unless    struct {
		Chain []string `toml:"chain"`
	} `toml:"unless"`
	Fire  []string `toml:"fire"`
	Quiet []string `toml:"quiet"`

	Source string `toml:"-"`
	kind   string
	want   map[string]matcher
}

// Input is one thing that happened, as patterns see it.
type Input struct {
	Kind   string            // exec, open, write, connect, dns
	Fields map[string]string // class name argv exe cwd path host port
	Chain  []string          // canonical names of the programs above
}

// Unsupported is a pattern that is not in force, with the reason.
type Unsupported struct{ ID, Title, Source, Reason string }

type matcher func(string) bool

// compileMatch: "re:" is a regular expression, a text with * or ? a glob, any
// other text must be equal; in argv it must be contained.
func compileMatch(field, want string) (matcher, error) {
	if expr, ok := strings.CutPrefix(want, "re:"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	if field == "argv" {
		return func(s string) bool { return strings.Contains(s, want) }, nil
	}
	if strings.ContainsAny(want, "*?") {
		if _, err := path.Match(want, ""); err != nil {
			return nil, err
		}
		return func(s string) bool { ok, err := path.Match(want, s); return err == nil && ok }, nil
	}
	return func(s string) bool { return s == want }, nil
}

var allowed = map[string]string{
	"exec": "class name argv exe cwd", "open": "path name class", "write": "path name class", "connect": "host port name class", "dns": "host",
}

// Parse reads one file. Patterns that do not compile, or fail their own
// samples, are named and left out.
func Parse(data []byte, source string) (loaded []*Pattern, not []Unsupported) {
	var doc struct {
		Pattern []*Pattern `toml:"pattern"`
	}
	dec := toml.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, []Unsupported{{ID: source, Source: source, Reason: "not readable as TOML: " + err.Error()}}
	}
	for _, p := range doc.Pattern {
		if p == nil {
			continue
		}
		p.Source = source
		err := p.compile()
		if err == nil {
			err = p.Test()
		}
		if err != nil {
			not = append(not, Unsupported{p.ID, p.Title, source, err.Error()})
			continue
		}
		loaded = append(loaded, p)
	}
	return loaded, not
}

func (p *Pattern) compile() error {
	if p.ID == "" || p.Title == "" {
		return fmt.Errorf("id and title are required")
	}
	l, err := coi.ParseLevel(p.Level)
	if err != nil {
		return err
	}
	if l == coi.Critical && !p.AllowKill {
		return fmt.Errorf("level critical needs allow_kill = true")
	}
	if len(p.Fire) == 0 || len(p.Quiet) == 0 {
		return fmt.Errorf("fire and quiet samples are required")
	}
	p.want = map[string]matcher{}
	for kind, m := range map[string]map[string]string{"exec": p.Exec, "open": p.Open, "write": p.Write, "connect": p.Connect, "dns": p.DNS} {
		if len(m) == 0 {
			continue
		}
		if p.kind != "" {
			return fmt.Errorf("exactly one of exec, open, write, connect, dns")
		}
		p.kind = kind
		for f, v := range m {
			if !strings.Contains(" "+allowed[kind]+" ", " "+f+" ") {
				return fmt.Errorf("%s has no field %q", kind, f)
			}
			if p.want[f], err = compileMatch(f, v); err != nil {
				return fmt.Errorf("%s.%s: %w", kind, f, err)
			}
		}
	}
	if p.kind == "" {
		return fmt.Errorf("exactly one of exec, open, write, connect, dns")
	}
	return nil
}

// Severity is the level of its findings.
func (p *Pattern) Severity() coi.Level { return coi.Level(p.Level) }

// Match reports whether an input is what the pattern looks for.
func (p *Pattern) Match(in Input) bool {
	if in.Kind != p.kind {
		return false
	}
	for f, m := range p.want {
		if !m(in.Fields[f]) {
			return false
		}
	}
	for _, c := range p.Unless.Chain {
		if slices.Contains(in.Chain, c) {
			return false
		}
	}
	return true
}

// Test runs the samples: command lines.
func (p *Pattern) Test() error {
	hit := func(line string) bool {
		for _, s := range command.ParseText(line, command.Env{}).Simples {
			if slices.ContainsFunc(Inputs(s, nil), p.Match) {
				return true
			}
		}
		return false
	}
	for _, l := range p.Fire {
		if !hit(l) {
			return fmt.Errorf("does not fire on %q", l)
		}
	}
	for _, l := range p.Quiet {
		if hit(l) {
			return fmt.Errorf("fires on the quiet sample %q", l)
		}
	}
	return nil
}

// Inputs are what one simple command does, in the words of patterns.
func Inputs(s *command.Simple, chain []string) []Input {
	who := map[string]string{"class": string(s.Class()), "name": s.Name}
	with := func(kv ...string) map[string]string {
		m := map[string]string{}
		maps.Copy(m, who)
		for i := 0; i+1 < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for p := s.Parent; p != nil && len(chain) < 16; p = p.Parent {
		chain = append(chain, p.Name)
	}
	out := []Input{{"exec", with("argv", s.Line(), "exe", s.Prog, "cwd", s.CWD), chain}}
	for _, a := range s.Accesses() {
		switch a.Op {
		case command.Read, command.Some, command.Use:
			out = append(out, Input{"open", with("path", a.Path), chain})
		case command.Write, command.Append, command.Link, command.Delete:
			out = append(out, Input{"write", with("path", a.Path), chain})
		}
	}
	for _, h := range s.Hosts() {
		port := ""
		if r := s.Parsed().Rest; len(r) > 1 {
			if _, err := strconv.Atoi(r[1]); err == nil {
				port = r[1]
			}
		}
		out = append(out, Input{"connect", with("host", h, "port", port), chain}, Input{"dns", with("host", h), chain})
	}
	return out
}
