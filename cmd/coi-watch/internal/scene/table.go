// Package scene knows who is who in one container: it keeps the table of
// processes, finds out what file a process runs and of what class it is, and
// makes events of what the sensors say.
package scene

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// Bounds of the table; the processes that were silent longest go first.
const (
	MaxProcesses = 32768
	MaxGone      = 4096 // of them, those that ended
)

// Proc is one process. Gone processes stay until the table needs the place,
// because their children still want to know where they came from. It is the
// table's: Put and Leave move it.
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
	begun     bool // the command of the session, with which preparing is over
	Started   int64
	Read      uint64 // bytes, at the last poll
	Written   uint64
	Rates     [3]float64 // MB/s of the last three polls

	in         *line
	prev, next *Proc
}

// Table is the processes of one container by pid. It is not safe for
// concurrent use.
type Table struct {
	procs       map[int]*Proc
	alive, gone line // oldest sign of life first
}

// line is processes in an order.
type line struct {
	first, last *Proc
	n           int
}

func (l *line) push(p *Proc) {
	p.in, p.prev, p.next = l, l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
	l.n++
}

func (p *Proc) leaveLine() {
	l := p.in
	if l == nil {
		return
	}
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.in, p.prev, p.next = nil, nil, nil
	l.n--
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{procs: map[int]*Proc{}} }

// Get returns the process with that pid, living or gone; nil if never seen.
func (t *Table) Get(pid int) *Proc { return t.procs[pid] }

// Len is the number of entries.
func (t *Table) Len() int { return len(t.procs) }

// Put adds a process, or replaces the one that had its pid.
func (t *Table) Put(p *Proc) {
	if old := t.procs[p.PID]; old != nil {
		old.leaveLine()
	}
	p.leaveLine()
	t.procs[p.PID] = p
	if p.Gone {
		t.gone.push(p)
	} else {
		t.alive.push(p)
	}
	t.bound()
}

// Leave notes that a process of the table ended.
func (t *Table) Leave(p *Proc) {
	p.Gone = true
	if p.in != &t.alive {
		return
	}
	p.leaveLine()
	t.gone.push(p)
	t.bound()
}

func (t *Table) bound() {
	for t.gone.n > MaxGone || t.gone.n > 0 && len(t.procs) > MaxProcesses {
		t.drop(t.gone.first)
	}
	for len(t.procs) > MaxProcesses {
		t.drop(t.alive.first)
	}
}

func (t *Table) drop(p *Proc) {
	p.leaveLine()
	delete(t.procs, p.PID)
}

// Each calls f with every living process, which f may make leave.
func (t *Table) Each(f func(*Proc)) {
	for p := t.alive.first; p != nil; {
		next := p.next
		f(p)
		p = next
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
