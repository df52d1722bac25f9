// Package record writes what the guard found: events into the audit trails,
// lines into the session logs and the service's own log, questions into the DNS log.
package record

import (
	"strings"
	"sync"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// Recorder implements guard.Recorder. It is safe for several goroutines.
type Recorder struct {
	home home.Home

	mu     sync.Mutex
	trails map[string]*audit.Appender
	logs   map[string]*logs.Log
	broken string
}

// New makes a recorder for the files below h.
func New(h home.Home) *Recorder {
	return &Recorder{home: h, trails: map[string]*audit.Appender{}, logs: map[string]*logs.Log{}}
}

// Event implements guard.Recorder.
func (r *Recorder) Event(e guard.Event) {
	category, typ := audit.CategoryNetwork, audit.TypeNet
	if strings.HasPrefix(e.Rule, "dns.") {
		category = audit.CategoryDNS
	}
	if strings.HasPrefix(e.Rule, "policy.") {
		category, typ = audit.CategoryPolicy, audit.TypeAudit
	}
	r.Append(e.Container, audit.Record{Source: audit.SourceGuard, SessionID: e.SessionID, Type: typ, Category: category, Level: e.Level, Rule: e.Rule, Title: e.Title,
		Description: e.Description, Action: audit.Alerted, Evidence: e.Evidence})
}

// Append writes records to the trail of a container.
func (r *Recorder) Append(container string, recs ...audit.Record) {
	t, err := r.trail(container)
	if err == nil {
		_, err = t.Append(recs...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = ""
	if err != nil {
		r.broken = err.Error()
	}
}

func (r *Recorder) trail(container string) (*audit.Appender, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.trails[container]; t != nil {
		return t, nil
	}
	t, err := audit.Open(r.home, container, audit.Options{})
	if err == nil {
		r.trails[container] = t
	}
	return t, err
}

// Log implements guard.Recorder.
func (r *Recorder) Log(container string, problem bool, text string) {
	if container == "" {
		container = "network"
	}
	r.mu.Lock()
	l := r.logs[container]
	if l == nil {
		var err error
		if l, err = logs.Open(r.home.Logs(), container, nil); err == nil {
			r.logs[container] = l
		}
	}
	r.mu.Unlock()
	if problem {
		l.Error(logs.Network, "%s", text)
	} else {
		l.Info(logs.Network, "%s", text)
	}
}

// Query implements guard.Recorder.
func (r *Recorder) Query(resolve.Query) {}

// Problem implements guard.Recorder.
func (r *Recorder) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// Close writes what waits.
func (r *Recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trails {
		_ = t.Close()
	}
}
