// Package sigma loads Sigma rules and matches them against what the sensors
// see. Every rule is either loaded or listed with the reason why not; none is
// skipped silently.
package sigma

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/code-on-incus/coi/pkg/coi"
)

// Kind is the kind of record a rule is about.
type Kind string

// Kinds of record.
const (
	Process Kind = "process_creation"
	File    Kind = "file_event"
	Network Kind = "network_connection"
	Audit   Kind = "auditd"
	Log     Kind = "log"
)

// fields are the names a rule of a kind may ask for.
var fields = map[Kind]string{
	Process: "Image OriginalFileName CommandLine CurrentDirectory User LogonId ProcessId ParentImage ParentCommandLine ParentProcessId",
	File:    "TargetFilename Image User",
	Network: "DestinationIp DestinationHostname DestinationPort Initiated Image SourceIp Protocol",
	Audit:   "type argc name nametype syscall SYSCALL exe comm uid euid key cwd",
	Log:     "",
}

// auditTypes are the audit record types that the sensors can stand for.
var auditTypes = "EXECVE PATH SYSCALL CWD"

// logServices are services whose lines the log sensor reads.
var logServices = "auth sshd cron syslog sudo"

// Rule is one loaded rule.
type Rule struct {
	ID, Title string
	Level     coi.Level
	Kind      Kind
	Source    string // file
	cond      node
	need      []string // one of these must occur in the text; empty: unknown
}

// Unsupported is a rule that cannot be used, with the reason.
type Unsupported struct {
	ID, Title, Source, Reason string
}

// Record is one event as Sigma sees it. Field values are matched without case
// unless a rule asks otherwise; a field may have several values.
type Record struct {
	Kind   Kind
	Fields map[string][]string
	Text   string // of log lines, and what keywords are looked for in
}

// document is the part of a rule file that matters here.
type document struct {
	Title     string               `yaml:"title"`
	ID        string               `yaml:"id"`
	Level     string               `yaml:"level"`
	Type      string               `yaml:"type"`
	Action    string               `yaml:"action"`
	Corr      *yaml.Node           `yaml:"correlation"`
	Logsource map[string]string    `yaml:"logsource"`
	Detection map[string]yaml.Node `yaml:"detection"`
}

// reason is why a rule is unsupported.
type reason struct{ text string }

func (r reason) Error() string { return r.text }

func unsupported(format string, a ...any) error { return reason{fmt.Sprintf(format, a...)} }

// Parse reads one file, which may hold several documents.
func Parse(data []byte, source string) (loaded []*Rule, not []Unsupported) {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	for range 64 {
		var d document
		err := dec.Decode(&d)
		if err != nil {
			if err.Error() != "EOF" {
				not = append(not, Unsupported{ID: source, Title: d.Title, Source: source, Reason: "not readable as YAML: " + firstLine(err)})
			}
			return loaded, not
		}
		r, err := compile(d)
		if err != nil {
			not = append(not, Unsupported{ID: d.ID, Title: d.Title, Source: source, Reason: err.Error()})
			continue
		}
		r.Source = source
		loaded = append(loaded, r)
	}
	return loaded, not
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

func compile(d document) (*Rule, error) {
	if d.Corr != nil || d.Action != "" {
		return nil, unsupported("correlations and rule collections are not supported")
	}
	if d.ID == "" || d.Title == "" {
		return nil, unsupported("a rule needs an id and a title")
	}
	kind, err := kindOf(d.Logsource)
	if err != nil {
		return nil, err
	}
	level, err := levelOf(d.Level)
	if err != nil {
		return nil, err
	}
	c := compiler{kind: kind, named: map[string]node{}}
	var condition *yaml.Node
	for name, n := range d.Detection {
		switch name {
		case "condition":
			condition = &n
			continue
		case "timeframe":
			return nil, unsupported("timeframe is not supported")
		}
		c.named[name], err = c.selection(&n)
		if err != nil {
			return nil, err
		}
	}
	if condition == nil {
		return nil, unsupported("no condition")
	}
	cond, err := c.condition(condition)
	if err != nil {
		return nil, err
	}
	r := &Rule{ID: d.ID, Title: d.Title, Level: level, Kind: kind, cond: cond}
	r.need, _ = cond.need()
	return r, nil
}

func kindOf(src map[string]string) (Kind, error) {
	if p := src["product"]; p != "linux" && p != "" {
		return "", unsupported("product %s is not supported", p)
	}
	category, service := src["category"], src["service"]
	switch {
	case category == string(Process) || category == string(File) || category == string(Network):
		return Kind(category), nil
	case category != "":
		return "", unsupported("log source category %s is not supported", category)
	case service == "auditd":
		return Audit, nil
	case service == "" || oneOf(service, logServices):
		return Log, nil
	}
	return "", unsupported("log source service %s is not supported", service)
}

func oneOf(w, list string) bool { return slices.Contains(strings.Fields(list), w) }

func levelOf(s string) (coi.Level, error) {
	switch s {
	case "informational", "low", "":
		return coi.Info, nil
	case "medium", "high":
		return coi.Warning, nil
	case "critical":
		return coi.High, nil
	}
	return "", unsupported("unknown level %q", s)
}

// Match reports whether a record is what the rule looks for.
func (r *Rule) Match(rec *Record) bool { return r.Kind == rec.Kind && r.cond.match(rec) }

var errScalar = errors.New("not a scalar")
