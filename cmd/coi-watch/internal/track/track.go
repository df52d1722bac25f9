// Package track keeps the only state that detection has: the process table of a
// container, what its trees opened, joined and ran lately, and counters. It
// takes its time from the events, so a replay sees what the live run saw.
package track

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Limits of the state of one container.
const (
	MaxProcs  = 32768
	MaxGone   = 4096 // processes that ended, within keepExits
	MaxMarks  = 256  // per tree
	MaxTrees  = 4096
	MaxNames  = 4096
	Window    = 120 * time.Second
	keepExits = 120 * time.Second
)

// Settings are what detectors need to know of the container.
type Settings struct {
	Workspace, Home, User      string
	Locked, Secrets, Allowed   []string
	FileReadMB, FileReadRateMB float64
	FileReadTrusted            bool
	ProcessCount, SpawnRate    int
	UploadWarnMB, UploadHighMB int
	PollSeconds                int
	OneLiners                  string
	Resolve                    func(path string) string // content identity, may be nil
	Read                       func(path string) string // script text, may be nil
}

// Process is one entry of the process table.
type Process struct {
	PID, PPID int
	Start     uint64
	NSPID     int // in its own namespace, 0: unknown
	UID       int // -1: unknown
	Exe       string
	Name      string // canonical program name
	Class     program.Class
	Argv      []string
	CWD       string
	Role      string
	Born      int64 // mono of the first event
	Gone      int64 // mono of its exit, 0 while it lives
	Root      int   // pid of the top of its tree: the child of the tool, an agent or a relay
}

// Mark is something a tree did lately.
type Mark struct {
	Mono int64
	Kind string // "open", "connect", "fetch", "finding"
	Rule string
	// Level is that of the finding, as it was when it was made.
	Level coi.Level
	Path  string
	Host  string
	PID   int
}

// Tracker is the state of one container. It is not safe for concurrent use.
type Tracker struct {
	set    Settings
	procs  map[int]*Process
	gone   queue // processes that ended, in that order
	marks  map[int][]Mark
	hosts  map[string]bool   // hosts that this container used before
	names  map[string]string // address → name
	forks  []sample
	rate   map[string][]sample
	graph  wiring.Graph
	living int
	now    int64
	busy   int64 // mono since which nearly all processors are used, 0: they are not
	tree   int   // pid of the top of the tree that uses them
	hot    int64 // mono since which it does
	out    int64 // mono of the last connection to outside
	denied int   // refusals of sudo and su within a minute

	last event.Event // what the view that Apply returned last is about
	memo memo        // of that view
}

type sample struct {
	mono int64
	n    float64
}

// New returns an empty tracker.
func New(set Settings) *Tracker {
	return &Tracker{
		set: set, procs: map[int]*Process{}, marks: map[int][]Mark{}, hosts: map[string]bool{},
		names: map[string]string{}, rate: map[string][]sample{},
	}
}

// Apply takes one event into the state and returns the view of that moment.
func (t *Tracker) Apply(ev event.Event) View {
	if ev.Mono > t.now {
		t.now = ev.Mono
	}
	t.last, t.memo = ev, memo{}
	v := View{t: t, ev: &t.last, memo: &t.memo}
	switch ev.Type {
	case event.Exec:
		v.cmd = t.exec(ev)
	case event.Fork:
		t.fork(ev)
	case event.Exit:
		t.exit(ev)
	case event.FDs:
		if ev.Wiring != nil {
			t.graph = *ev.Wiring
			v.verdicts = wiring.Judge(t.graph)
		}
	case event.Counter:
		t.load(ev)
	case event.Connect:
		if ev.Dir != "in" && Outside(ev.Peer) {
			t.out = max(t.now, 1)
		}
	case event.Authlog:
		if refused(ev.Text) {
			t.denied = int(t.Count("auth.refused", 1, time.Minute))
		}
	case event.DNS:
		if ev.Peer != "" && ev.Name != "" && len(t.names) < MaxNames {
			t.names[ev.Peer] = ev.Name
		}
	}
	return v
}

// busyShare is the share of the allowed processors that counts as all of them.
const busyShare = 0.85

// load follows how long the processors have been busy.
func (t *Tracker) load(ev event.Event) {
	cores := ev.N["cores"]
	if cores <= 0 {
		return
	}
	busy := ev.N["cpu_cores"]/cores >= busyShare
	if ev.Op == "cpu" { // of one tree
		if !busy || t.tree != ev.PID {
			t.hot = 0
		}
		if t.tree = ev.PID; busy && t.hot == 0 {
			t.hot = max(t.now, 1)
		}
		return
	}
	switch {
	case !busy:
		t.busy, t.hot = 0, 0
	case t.busy == 0:
		t.busy = max(t.now, 1)
	}
}

// refused reports log lines of sudo and su that say no.
func refused(text string) bool {
	for _, w := range []string{"NOT in sudoers", "incorrect password attempt", "FAILED su", "FAILED SU", "command not allowed", "a password is required", "user NOT authorized"} {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func (t *Tracker) exec(ev event.Event) *command.Command {
	p := t.ensure(ev)
	p.Exe, p.Argv, p.CWD, p.Role = ev.Exe, ev.Argv, ev.CWD, ev.Role
	p.Class = program.Class(ev.ExeClass)
	p.Name = program.Canonical(ev.ExeIs)
	if ev.ExeIs == "" && len(ev.Argv) > 0 {
		p.Name = program.Canonical(ev.Argv[0])
		if ev.Exe != "" && program.Known(ev.Exe) {
			p.Name = program.Canonical(ev.Exe)
		}
	}
	if p.Class == program.None {
		p.Class = program.ClassOf(p.Name)
	}
	is := ev.ExeIs
	if is == "" && program.Known(ev.Exe) {
		is = program.Canonical(ev.Exe)
	}
	return command.Parse(ev.Argv, command.Env{
		Home: t.set.Home, User: t.set.User, CWD: ev.CWD, Script: ev.Script, ScriptPath: ev.ScriptPath,
		ExeIs: is, Resolve: t.set.Resolve, Read: t.set.Read,
	})
}

// ensure finds or makes the process of an event. A pid that is used again is a
// new process.
func (t *Tracker) ensure(ev event.Event) *Process {
	p := t.procs[ev.PID]
	if p != nil && (ev.Start == 0 || p.Start == 0 || p.Start == ev.Start) && p.Gone == 0 {
		return p
	}
	if p == nil || p.Gone != 0 {
		t.living++
	}
	p = &Process{PID: ev.PID, PPID: ev.PPID, Start: ev.Start, NSPID: ev.NSPID, Born: ev.Mono, UID: -1, Exe: ev.Exe, Role: ev.Role}
	if ev.UID != nil {
		p.UID = *ev.UID
	}
	if len(t.procs) >= MaxProcs {
		t.evict()
	}
	t.procs[ev.PID] = p
	p.Root = t.rootOf(p)
	return p
}

// rootOf is the top of a process's tree: trees begin below the tool, the agents
// and trusted relays.
func (t *Tracker) rootOf(p *Process) int {
	parent := t.procs[p.PPID]
	if parent == nil || parent == p || parent.Role != "" {
		return p.PID
	}
	return parent.Root
}

// evict forgets the older half of the processes that ended, and when that is
// nothing an eighth of those that live: the oldest, many at once, so that a
// flood pays for it once in a long while.
func (t *Tracker) evict() {
	if n := t.gone.len(); n > 0 {
		t.forget((n + 1) / 2)
		return
	}
	all := slices.SortedFunc(maps.Values(t.procs), func(a, b *Process) int { return cmp.Compare(a.Born, b.Born) })
	for _, p := range all[:len(all)/8] {
		delete(t.procs, p.PID)
		t.living--
	}
}

// forget drops the first n of the processes that ended.
func (t *Tracker) forget(n int) {
	for range n {
		if p := t.gone.take(); t.procs[p.PID] == p {
			delete(t.procs, p.PID)
		}
	}
}

// queue is a line of processes.
type queue struct {
	list []*Process
	head int
}

func (q *queue) len() int { return len(q.list) - q.head }

func (q *queue) put(p *Process) {
	if q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, p)
}

func (q *queue) first() *Process { return q.list[q.head] }

func (q *queue) take() *Process {
	p := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	return p
}

func (t *Tracker) fork(ev event.Event) {
	parent := t.procs[ev.PPID]
	p := t.ensure(ev)
	if parent != nil && p.Argv == nil {
		p.Exe, p.Name, p.Class, p.Argv, p.CWD, p.Role = parent.Exe, parent.Name, parent.Class, parent.Argv, parent.CWD, parent.Role
	}
	t.forks = push(t.forks, ev.Mono, 1, 2*time.Second)
}

func (t *Tracker) exit(ev event.Event) {
	if p := t.procs[ev.PID]; p != nil && p.Gone == 0 {
		p.Gone = max(ev.Mono, 1)
		t.living--
		t.gone.put(p)
	}
	for t.gone.len() > MaxGone || t.gone.len() > 0 && t.now-t.gone.first().Gone >= int64(keepExits) {
		t.forget(1)
	}
}

// push adds to a window and drops what is older than keep.
func push(list []sample, mono int64, n float64, keep time.Duration) []sample {
	list = append(list, sample{mono, n})
	i := 0
	for i < len(list) && mono-list[i].mono > int64(keep) {
		i++
	}
	return list[i:]
}

// Note records what a tree did, for the detectors of later events.
func (t *Tracker) Note(pid int, m Mark) {
	root := t.Root(pid)
	m.Mono, m.PID = t.now, pid
	list := t.marks[root]
	for len(list) > 0 && (t.now-list[0].Mono > int64(Window) || len(list) >= MaxMarks) {
		list = list[1:]
	}
	t.marks[root] = append(list, m)
	if len(t.marks) > MaxTrees {
		for k := range t.marks {
			if k != root && t.procs[k] == nil {
				delete(t.marks, k)
			}
		}
	}
}

// Root is the top of the tree of a process, or the pid itself.
func (t *Tracker) Root(pid int) int {
	if p := t.procs[pid]; p != nil {
		return p.Root
	}
	return pid
}

// UseHost remembers that the container talked to a host; it reports whether it
// had before.
func (t *Tracker) UseHost(host string) bool {
	if t.hosts[host] {
		return true
	}
	if len(t.hosts) < MaxNames {
		t.hosts[host] = true
	}
	return false
}

// Forget drops findings and counters, after a thaw. The process table stays.
func (t *Tracker) Forget() {
	t.marks = map[int][]Mark{}
	t.rate = map[string][]sample{}
	t.forks = nil
}

// Count adds n to a named window and returns its sum.
func (t *Tracker) Count(name string, n float64, keep time.Duration) float64 {
	list := push(t.rate[name], t.now, n, keep)
	if len(t.rate) < MaxNames || t.rate[name] != nil {
		t.rate[name] = list
	}
	sum := 0.0
	for _, s := range list {
		sum += s.n
	}
	return sum
}

// Outside reports whether an address leads out of the container.
func Outside(addr string) bool {
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if err != nil {
		return addr != "" && !command.Loopback(addr)
	}
	return !a.Unmap().IsLoopback() && !a.IsUnspecified()
}

// Parents are the pids above a process, nearest first, at most eight.
func (t *Tracker) Parents(pid int) []int {
	var out []int
	p := t.procs[pid]
	for p != nil && len(out) < event.MaxChain && p.PPID != p.PID && p.PPID != 0 {
		out = append(out, p.PPID)
		p = t.procs[p.PPID]
	}
	return out
}

// Now is the time of the newest event, in ns of CLOCK_MONOTONIC.
func (t *Tracker) Now() int64 { return t.now }

// Marks are the marks of one kind of the tree of a process, of the last 120 s.
func (t *Tracker) Marks(pid int, kind string) []Mark {
	return View{t: t, ev: &event.Event{PID: pid}}.Recent(kind)
}

// ClassOf is the class of a process, or that of the name of its program.
func (t *Tracker) ClassOf(pid int, exe string) program.Class {
	if p := t.procs[pid]; p != nil && p.Class != program.None {
		return p.Class
	}
	return program.ClassOf(exe)
}
