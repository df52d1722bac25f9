// Package trail takes what the watch has to say to the audit trail, without
// ever making the watch wait for a disk.
package trail

import (
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/redact"
	"github.com/code-on-incus/coi/pkg/run"
)

// Queue is how many records of one container may wait for the disk. More are
// counted and told when there is room again.
const Queue = 1000

// Trail writes the records of all containers, each by a goroutine of its own.
// It is safe for concurrent use.
type Trail struct {
	home home.Home
	log  io.Writer

	mu     sync.Mutex
	each   map[string]*writer
	looked time.Time // when it was last looked for trails of containers that are gone
}

// writer is the trail of one container.
type writer struct {
	in      chan *audit.Record // pointers: an empty queue of records would be large
	red     *redact.Redactor
	days    int // how long parts are kept
	missed  int
	pending sync.WaitGroup
}

// New returns a trail that has written nothing. Problems with a trail go to log.
func New(h home.Home, log io.Writer) *Trail {
	return &Trail{home: h, log: log, each: map[string]*writer{}}
}

// Watch begins the trail of a container, or takes new settings: the exact
// secrets to look for and how long parts are kept. The size of a part is that of
// the beginning.
func (t *Trail) Watch(w run.Watch) {
	red, err := redact.New(t.home)
	if err != nil {
		t.logf("%s: %v", w.Container, err)
	}
	red = red.With(w.Redact)
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.each[w.Container]; old != nil {
		old.red, old.days = red, w.Settings.AuditRetentionDays
		return
	}
	a, err := audit.Open(t.home, w.Container, audit.Options{
		Source: audit.SourceWatch, SessionID: w.SessionID, MaxSize: int64(w.Settings.AuditMaxSizeMB) << 20, Redactor: red,
		Report: func(err error) {
			if err != nil {
				t.logf("%s: audit: %v", w.Container, err)
			}
		},
	})
	if err != nil {
		t.logf("%v", err)
		return
	}
	wr := &writer{in: make(chan *audit.Record, Queue), red: red, days: w.Settings.AuditRetentionDays}
	t.each[w.Container] = wr
	session, err := logs.Open(t.home.Logs(), w.Container, red)
	if err != nil {
		t.logf("%s: session log: %v", w.Container, err) // it is tried again with each message
	}
	go t.write(w.Container, wr, a, session)
}

// write takes the records of a container to its trail until it is dropped.
func (t *Trail) write(container string, wr *writer, a *audit.Appender, session *logs.Log) {
	defer session.Close()
	defer func() { _ = a.Close() }()
	old := time.NewTicker(pruneEvery)
	defer old.Stop()
	t.prune(wr, a)
	for {
		select {
		case r, ok := <-wr.in:
			if !ok {
				return
			}
			if _, err := a.Append(*r); err != nil {
				t.logf("%s: %v", container, err)
				session.Error(logs.Security, "a record is not in the audit trail: %s", err.Error())
			}
			tell(session, *r)
			wr.pending.Done()
		case <-old.C:
			t.prune(wr, a)
		}
	}
}

// tell writes what a person should know into the session's log: what was found
// among the messages, what keeps the watch from its work among the errors.
func tell(l *logs.Log, r audit.Record) {
	if r.Level.Rank() < coi.Warning.Rank() || r.Action == audit.Allowed {
		return
	}
	write, tag := l.Info, logs.Security
	if r.Category == audit.CategorySensor {
		write, tag = l.Error, logs.Monitor
	}
	what := r.Rule
	if at := first(r.Exe, r.Path); at != "" {
		what += " " + at
	}
	write(tag, "%s: %s (%s; %s; audit %s)", r.Level, cli.Escape(r.Title), cli.Escape(what), r.Action, r.ID)
}

// Redactor is that of a container, nil when it is not watched.
func (t *Trail) Redactor(container string) *redact.Redactor {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.each[container]; w != nil {
		return w.red
	}
	return nil
}

// Put queues a record and returns its id. It does not block.
func (t *Trail) Put(container string, r audit.Record) string {
	if r.ID == "" {
		r.ID = audit.NewID(time.Now())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.each[container]
	if w == nil {
		return r.ID
	}
	if w.missed > 0 {
		r.Description = strings.TrimSpace(fmt.Sprintf("%s (%d records before this one were lost: the disk is too slow)", r.Description, w.missed))
	}
	w.pending.Add(1)
	select {
	case w.in <- &r:
		w.missed = 0
	default:
		w.pending.Done()
		w.missed++
	}
	return r.ID
}

// Close writes what waits, at most for a second a container.
func (t *Trail) Close() {
	t.mu.Lock()
	all := maps.Clone(t.each)
	clear(t.each)
	t.mu.Unlock()
	for _, w := range all {
		close(w.in)
		done := make(chan struct{})
		go func() { w.pending.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

// Drop ends the trail of a container that is gone.
func (t *Trail) Drop(container string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.each[container]; w != nil {
		close(w.in)
		delete(t.each, container)
	}
}

func (t *Trail) logf(format string, a ...any) {
	_, _ = fmt.Fprintf(t.log, "%s %s\n", time.Now().UTC().Format(time.RFC3339), cli.Escape(fmt.Sprintf(format, a...)))
}

// Of makes a record of a finding and the event it came from.
func Of(f detect.Finding, ev event.Event, action string) audit.Record {
	r := audit.Record{
		TS: ev.TS, Type: typeOf(f.Rule, ev.Type), Level: f.Level, Category: Category(f.Rule), Title: f.Title, Description: f.Why, Rule: f.Rule, Action: action,
		PID: ev.PID, PPID: ev.PPID, NSPID: ev.NSPID, UID: ev.UID, Exe: ev.Exe, ExeSHA: ev.ExeSHA, Cwd: ev.CWD, Argv: ev.Argv, ArgvCut: ev.ArgvCut,
		Path: first(f.Path, ev.Path), Path2: ev.Path2, Op: first(f.Op, ev.Op), Proto: ev.Proto, Local: ev.Local, Peer: first(f.Peer, ev.Peer), Port: ev.Port,
		Name: first(f.Host, ev.Name), Text: ev.Text,
	}
	if f.PID != 0 {
		r.PID = f.PID
	}
	if f.Port != 0 {
		r.Port = f.Port
	}
	if ev.Exe != "" {
		r.Comm = path.Base(ev.Exe)
	}
	for _, p := range ev.Chain {
		r.Chain = append(r.Chain, audit.Parent{PID: p.PID, Exe: p.Exe, Argv0: p.Argv0})
	}
	if len(f.Evidence) > 0 || f.Command != "" || f.Harmless != "" {
		r.Evidence = map[string]any{}
		for k, v := range f.Evidence {
			r.Evidence[k] = v
		}
		if f.Command != "" {
			r.Evidence["command"] = f.Command
		}
		if f.Harmless != "" {
			r.Evidence["harmless_if"] = f.Harmless
		}
	}
	return r
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// categories by the part of a rule id before its first dot.
var categories = map[string]string{
	"shell": audit.CategoryShell, "exec": audit.CategoryExecution, "run": audit.CategoryExecution, "miner": audit.CategoryExecution,
	"combo": audit.CategoryExecution, "escape": audit.CategoryEscape, "priv": audit.CategoryPrivilege, "cred": audit.CategoryCredential,
	"exfil": audit.CategoryExfil, "persist": audit.CategoryPersistence, "log": audit.CategoryTamper, "storm": audit.CategoryResource,
	"read": audit.CategoryResource, "auth": audit.CategoryAuth, "net": audit.CategoryNetwork, "dns": audit.CategoryDNS,
	"life": audit.CategoryLifecycle, "sensor": audit.CategorySensor, "response": audit.CategorySensor, "protect": audit.CategoryProtection,
	"policy": audit.CategoryPolicy,
}

// Category is that of a rule; rules from files are about programs.
func Category(rule string) string {
	head, _, _ := strings.Cut(rule, ".")
	if c, ok := categories[head]; ok {
		return c
	}
	return audit.CategoryExecution
}

func typeOf(rule string, t event.Type) string {
	switch t {
	case event.Exec:
		if strings.HasPrefix(rule, "shell.") || strings.HasPrefix(rule, "escape.") {
			return audit.TypeProcess
		}
		return audit.TypeExec
	case event.Open, event.Write, event.Create, event.Rename, event.Delete, event.Attrib:
		return audit.TypeFile
	case event.Connect, event.Listen, event.Accept, event.Net, event.DNS:
		return audit.TypeNet
	case event.Counter:
		return audit.TypeResource
	case event.Authlog:
		return audit.TypeAuth
	}
	return audit.TypeProcess
}
