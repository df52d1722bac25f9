// Package record writes what the guard found: records into the audit trails,
// lines into the session logs and the service's own log, questions into the DNS log.
package record

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/redact"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// Recorder implements guard.Recorder. It is safe for several goroutines.
type Recorder struct {
	home  home.Home
	queue chan job
	done  chan struct{}
	red   *redact.Redactor

	mu      sync.Mutex
	logs    map[string]*logs.Log
	broken  string
	dropped int
	dns     *dnsLog
}

type job struct {
	container string
	recs      []audit.Record
}

// backlog is how many calls may wait for the trail; more are counted and told.
const backlog = 4096

// New makes a recorder for the files below h.
func New(h home.Home) (*Recorder, error) {
	red, err := redact.New(h)
	if err != nil {
		return nil, err
	}
	r := &Recorder{home: h, queue: make(chan job, backlog), done: make(chan struct{}), red: red, logs: map[string]*logs.Log{}, dns: newDNSLog(h.Logs(), red)}
	go r.work()
	return r, nil
}

// Append implements guard.Recorder.
func (r *Recorder) Append(container string, recs ...audit.Record) {
	select {
	case r.queue <- job{container, recs}:
	default:
		r.mu.Lock()
		r.dropped += len(recs)
		r.mu.Unlock()
	}
}

func (r *Recorder) work() {
	defer close(r.done)
	trails := map[string]*audit.Appender{}
	for j := range r.queue {
		t := trails[j.container]
		if t == nil {
			var err error
			if t, err = audit.Open(r.home, j.container, audit.Options{Source: audit.SourceGuard, Report: r.report}); err != nil {
				r.report(err)
				continue
			}
			trails[j.container] = t
		}
		if n := r.takeDropped(); n > 0 {
			j.recs = append(j.recs, audit.Record{
				Type: audit.TypeAudit, Category: audit.CategorySensor, Rule: "sensor.lost", Level: "warning", Action: audit.Alerted,
				Title: fmt.Sprintf("%d network events were not recorded", n),
			})
		}
		// The appender keeps what it cannot write now and says so through report.
		_, _ = t.Append(j.recs...)
	}
	for _, t := range trails {
		_ = t.Close()
	}
}

func (r *Recorder) takeDropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.dropped
	r.dropped = 0
	return n
}

func (r *Recorder) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = ""
	if err != nil {
		r.broken = err.Error()
	}
}

// Log implements guard.Recorder.
func (r *Recorder) Log(container string, problem bool, text string) {
	if container == "" {
		// A log that cannot be written is no reason to stop guarding.
		_ = appendRotated(filepath.Join(r.home.Logs(), "network.log"), logs.Line(time.Now(), logs.Network, r.red.Text(text)))
		return
	}
	r.mu.Lock()
	l := r.logs[container]
	if l == nil {
		var err error
		if l, err = logs.Open(r.home.Logs(), container, r.red); err == nil {
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
func (r *Recorder) Query(q resolve.Query) { r.dns.add(q, time.Now()) }

// Problem implements guard.Recorder.
func (r *Recorder) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// Close writes what waits. Nothing may be recorded afterwards.
func (r *Recorder) Close() {
	close(r.queue)
	<-r.done
	r.dns.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.logs {
		l.Close()
	}
}
