package daemon

import (
	"sync"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
)

// maxInbox bounds what waits for one container. It holds more than two seconds
// of the kernel's budget for programs started.
const maxInbox = 40000

// item is something a sensor said: a record of the kernel side, which still
// has to be understood, or an event.
type item struct {
	record *bpf.Record
	event  *event.Event
	file   *fanotify.Event
}

// inbox is the queue between sensors and the goroutine of a container.
type inbox struct {
	mu    sync.Mutex
	items []item
	lost  uint64
	trail bool // the firewall may have written something
	wake  chan struct{}
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (q *inbox) put(r bpf.Record) { q.add(item{record: &r}) }

func (q *inbox) add(it item) {
	q.mu.Lock()
	if len(q.items) >= maxInbox {
		q.lost++
		q.mu.Unlock()
		return
	}
	q.items = append(q.items, it)
	q.mu.Unlock()
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
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
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
func (q *inbox) take(spare []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := q.items
	q.items = spare[:0]
	return got
}

func (q *inbox) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}
