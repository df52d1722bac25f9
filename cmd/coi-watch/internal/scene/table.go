// Package scene knows who is who in one container: it keeps the table of
// processes, finds out what file a process runs and of what class it is, and
// makes events of what the sensors say.
package scene

import (
	"container/list"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// MaxProcesses bounds the table; the processes that were silent longest go first.
const MaxProcesses = 32768

// Proc is one process. Gone processes stay until the table needs the place,
// because their children still want to know where they came from.
type Proc struct {
	PID, PPID int
	Start     uint64
	born      uint64 // Start of the parent: a pid alone may be another process by now
	NSPID     int
	UID       int // inside
	Exe       string
	Class     string
	Is        string
	Argv0     string
	Argv      []string
	Role      wiring.Role
	Gone      bool
	Outside   bool // parent is not in the container: entered from the host
	Setup     bool // root's, entered from outside: coi preparing the container, or its user
	Started   int64
	Read      uint64 // bytes, at the last poll
	Written   uint64
	Rates     [3]float64 // MB/s of the last three polls

	place *list.Element
}

// Table is the processes of one container by pid. It is not safe for
// concurrent use.
type Table struct {
	procs map[int]*Proc
	order *list.List // oldest sign of life first
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{procs: map[int]*Proc{}, order: list.New()} }

// Get returns the process with that pid, living or gone; nil if never seen.
func (t *Table) Get(pid int) *Proc { return t.procs[pid] }

// Len is the number of entries.
func (t *Table) Len() int { return len(t.procs) }

// Put adds or replaces a process.
func (t *Table) Put(p *Proc) {
	if old := t.procs[p.PID]; old != nil {
		t.order.Remove(old.place)
	}
	p.place = t.order.PushBack(p)
	t.procs[p.PID] = p
	for len(t.procs) > MaxProcesses {
		first := t.order.Front()
		t.order.Remove(first)
		if q, ok := first.Value.(*Proc); ok {
			delete(t.procs, q.PID)
		}
	}
}

// Each calls f with every living process.
func (t *Table) Each(f func(*Proc)) {
	for _, p := range t.procs {
		if !p.Gone {
			f(p)
		}
	}
}

// Parent is the process that started p or took it over, living or gone; nil
// when it is not in the container, not known, or its pid has passed on.
func (t *Table) Parent(p *Proc) *Proc {
	if p == nil || p.Outside || p.PPID == p.PID {
		return nil
	}
	if q := t.procs[p.PPID]; q != nil && q.Start == p.born {
		return q
	}
	return nil
}

// Chain is the ancestors of a process, nearest first, as far as they are in
// the container.
func (t *Table) Chain(p *Proc) []event.Ancestor {
	var chain []event.Ancestor
	for p = t.Parent(p); p != nil && len(chain) < event.MaxChain; p = t.Parent(p) {
		chain = append(chain, event.Ancestor{PID: p.PID, Exe: p.Exe, Argv0: p.Argv0, Class: p.Class})
	}
	return chain
}
