package audit

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/redact"
)

// MaxWait is the longest a call of Append takes, whatever the disk or another
// holder of the lock does.
const MaxWait = 200 * time.Millisecond

// MaxQueue is how many records wait in memory for a trail that cannot be
// written. Beyond it the least important are counted and dropped.
const MaxQueue = 1000

// DefaultMaxSize is the size in bytes at which a part is closed.
const DefaultMaxSize = 64 << 20

const (
	retryEvery  = time.Second
	syncEvery   = time.Second
	anchorEvery = 10 * time.Minute
)

// ErrQueued is wrapped by errors of Append when records are safe in memory but
// not yet in the file. They are written as soon as that is possible again.
var ErrQueued = errors.New("audit records wait in memory")

// Options of Open. The zero value is right for most writers.
type Options struct {
	Source    string   // of records that name none
	SessionID string   // of records that name none
	MaxSize   int64    // bytes of one part, DefaultMaxSize when 0
	Redactor  Redactor // when nil, that of the home without exact values
	// Journal is the socket that anchors go to, that of the system journal when
	// empty; "-" for none.
	Journal string
	// Report, when set, is told of a trail that cannot be written, and nil when
	// it can be written again. It must not block or call the Appender.
	Report func(error)
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Appender adds records to one container's trail. Several of them, in several
// processes, may write the same trail. It is safe for use by several
// goroutines.
type Appender struct {
	opts      Options
	container string
	red       Redactor
	store     *store

	mu      sync.Mutex
	queue   []*batch
	waiting int   // records in queue
	lost    int   // records dropped since the last chain.lost
	problem error // why the trail cannot be written; nil when it can
	closed  bool

	wake  chan struct{}
	ended chan struct{}
}

// batch is the records of one call.
type batch struct {
	recs []Record
	// done gets one value: nil when all are written, or why they have to wait.
	done chan error
}

// Open prepares to append to the trail of container. It fails only for a name
// that no container can have: a trail that cannot be opened is reported by
// Append and Problem, and retried.
func Open(h home.Home, container string, o Options) (*Appender, error) {
	if !coi.ValidContainer(container) {
		return nil, fmt.Errorf("audit: %q is no container name", container)
	}
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var err error
	if o.Redactor == nil {
		// Without the key of this home the redactor still works.
		o.Redactor, err = redact.New(h)
	}
	a := &Appender{
		opts: o, container: container, red: o.Redactor, problem: nil,
		store: newStore(h, container, o), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if err != nil && o.Report != nil {
		o.Report(err)
	}
	go a.work()
	return a, nil
}

// SetRedactor replaces the redactor of records appended from now on.
func (a *Appender) SetRedactor(r Redactor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.red = r
}

// SetSession replaces the session id of records appended from now on.
func (a *Appender) SetSession(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opts.SessionID = id
}

// Append redacts records, cuts them to their limits, links them into the chain
// and writes them in one go. It returns them as written. High, critical and
// policy records are on the disk by then, others within a second. It takes
// MaxWait at most: when the records could not be written by then they are kept
// in memory, the error wraps ErrQueued, and they are returned with their ids
// but without seq and prev.
func (a *Appender) Append(recs ...Record) ([]Record, error) {
	if len(recs) == 0 {
		return nil, nil
	}
	b := &batch{recs: make([]Record, len(recs)), done: make(chan error, 1)}
	a.mu.Lock()
	red, session := a.red, a.opts.SessionID
	a.mu.Unlock()
	for i := range recs {
		b.recs[i] = a.fill(recs[i], session).tidied(red)
	}
	kept := append([]Record(nil), b.recs...)
	problem, err := a.put(b)
	if err != nil {
		return kept, err
	}
	if problem != nil {
		return kept, fmt.Errorf("%w: %w", ErrQueued, problem)
	}
	timer := time.NewTimer(MaxWait)
	defer timer.Stop()
	select {
	case err := <-b.done:
		if err != nil {
			return kept, fmt.Errorf("%w: %w", ErrQueued, err)
		}
		return b.recs, nil
	case <-timer.C:
		return kept, fmt.Errorf("%w: the disk is slow", ErrQueued)
	}
}

// fill sets what every record has.
func (a *Appender) fill(r Record, session string) Record {
	now := a.opts.Now()
	r.V, r.Seq, r.Prev = Version, 0, ""
	r.Container = a.container
	if r.TS.IsZero() || r.TS.After(now) {
		r.TS = now
	}
	if r.ID == "" {
		r.ID = NewID(r.TS)
	}
	if r.SessionID == "" {
		r.SessionID = session
	}
	if r.Source == "" {
		r.Source = a.opts.Source
	}
	if r.Level == "" {
		r.Level = coi.Info
	}
	if r.Action == "" {
		r.Action = Logged
	}
	return r
}

// put queues a batch. It returns the problem the trail has, if there is one.
func (a *Appender) put(b *batch) (problem, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errors.New("audit: appender is closed")
	}
	a.queue = append(a.queue, b)
	a.waiting += len(b.recs)
	if a.problem != nil {
		a.shed()
		return a.problem, nil
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil, nil
}

// shed drops records until MaxQueue are left: the latest of the least important.
func (a *Appender) shed() {
	for level := range coi.Levels {
		for i := len(a.queue) - 1; i >= 0 && a.waiting > MaxQueue; i-- {
			b := a.queue[i]
			for j := len(b.recs) - 1; j >= 0 && a.waiting > MaxQueue; j-- {
				if b.recs[j].Level.Rank() <= level {
					b.recs = slices.Delete(b.recs, j, j+1)
					a.waiting--
					a.lost++
				}
			}
			if len(b.recs) == 0 {
				a.queue = slices.Delete(a.queue, i, i+1)
			}
		}
	}
}

// Problem says why the trail cannot be written, nil when it can.
func (a *Appender) Problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problem
}

// Waiting is how many records are in memory only, and how many were dropped
// and not yet recorded as lost.
func (a *Appender) Waiting() (queued, lost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting, a.lost
}

// Close writes what waits, syncs and ends. Records that cannot be written
// within MaxWait are lost, and the error says how many.
func (a *Appender) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	a.mu.Unlock()
	close(a.wake)
	timer := time.NewTimer(2 * MaxWait)
	defer timer.Stop()
	select {
	case <-a.ended:
	case <-timer.C:
	}
	if queued, lost := a.Waiting(); queued+lost > 0 {
		return fmt.Errorf("audit: %d records were not written: %w", queued+lost, a.Problem())
	}
	return nil
}
