package daemon

import (
	"sync"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
)

// Bounds of what waits for one container. It holds more than two seconds of
// the kernel's budget for programs started.
const (
	maxInbox = 40000
	maxRaw   = 16 << 20 // bytes of records
)

// item is something a sensor said: a record of the kernel side as its bytes in
// the batch, which still have to be understood, a record of a weaker source, or
// an event.
type item struct {
	at, size int // of the record, size 0: none
	record   *bpf.Record
	event    *event.Event
	file     *fanotify.Event
}

// batch is what was taken out of an inbox at once.
type batch struct {
	items []item
	raw   []byte
}

// inbox is the queue between sensors and the goroutine of a container.
type inbox struct {
	mu    sync.Mutex
	batch batch
	lost  uint64
	trail bool // the firewall may have written something
	wake  chan struct{}
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put copies a record into the queue and returns how many wait there. It wakes
// nobody: the reader does when it has put all there is.
func (q *inbox) put(raw []byte) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := &q.batch
	if len(b.items) >= maxInbox || len(b.raw)+len(raw) > maxRaw {
		q.lost++
		return len(b.items)
	}
	b.items = append(b.items, item{at: len(b.raw), size: len(raw)})
	b.raw = append(b.raw, raw...)
	return len(b.items)
}

// add puts an event into the queue and wakes the container.
func (q *inbox) add(it item) {
	q.mu.Lock()
	if len(q.batch.items) >= maxInbox {
		q.lost++
		q.mu.Unlock()
		return
	}
	q.batch.items = append(q.batch.items, it)
	q.mu.Unlock()
	q.rouse()
}

func (q *inbox) rouse() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
}

// nudge says that the trail of the container grew. Many at once are one.
func (c *container) nudge() {
	q := c.inbox
	q.mu.Lock()
	q.trail = true
	q.mu.Unlock()
	q.rouse()
}

// nudged reports, once, whether there was a nudge.
func (q *inbox) nudged() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.trail
	q.trail = false
	return was
}

// take empties the queue; spare is given back for reuse.
func (q *inbox) take(spare batch) batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := q.batch
	q.batch = batch{spare.items[:0], spare.raw[:0]}
	return got
}

// worth drops what a storm made large: the memory is given back.
func (b batch) worth() batch {
	if cap(b.items) > 4096 || cap(b.raw) > 1<<20 {
		return batch{}
	}
	clear(b.items) // of events
	return b
}

func (q *inbox) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}
