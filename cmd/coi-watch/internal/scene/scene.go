package scene

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/pkg/run"
)

// Scene is the view of one container. It is not safe for concurrent use.
type Scene struct {
	Container string
	Table     *Table
	Images    *Images
	Proc      proc.Root

	Root      *inside.Root // of the container's init; nil until it runs
	Init      int
	InitStart uint64
	NS        map[string]uint64 // namespaces of init
	host      map[string]uint64 // namespaces of this program
	uids      proc.IDMap
	roles     roles
	boot      time.Time // wall clock at the start of CLOCK_MONOTONIC
	seq       uint64
	Missed    uint64 // execs whose arguments were gone
}

// New returns a scene in which nothing happened yet. tool is the program of
// the agent and its arguments.
func New(container string, tool []string, names Names) *Scene {
	s := &Scene{
		Container: container, Table: NewTable(), Images: NewImages(names), Proc: proc.Host, roles: roles{tool: tool},
		boot: time.Now().Add(-monotonic()), host: map[string]uint64{},
	}
	for _, kind := range nsKinds {
		s.host[kind], _ = s.Proc.Namespace(os.Getpid(), kind) // 0 compares with nothing
	}
	return s
}

func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// ErrNotInside is a process that has not changed its root yet.
var ErrNotInside = errors.New("the first process is still in the root of the host")

// SetInit takes the container's first process as the measure of what is
// normal: its root, its namespaces, its uid map.
func (s *Scene) SetInit(pid int) error {
	root, err := inside.Open(pid)
	if err != nil {
		return err
	}
	if root.IsHost() {
		root.Close()
		return ErrNotInside
	}
	if s.Root != nil {
		s.Root.Close()
	}
	s.Root, s.Init, s.NS = root, pid, map[string]uint64{}
	if st, err := s.Proc.ReadStat(pid); err == nil {
		s.InitStart = st.Start
	}
	for _, kind := range []string{"mnt", "pid", "net", "user", "cgroup"} {
		if n, err := s.Proc.Namespace(pid, kind); err == nil {
			s.NS[kind] = n
		}
	}
	s.uids, err = s.Proc.UIDMap(pid)
	return err
}

// CountFrom makes the next event number n+1.
func (s *Scene) CountFrom(n uint64) { s.seq = n }

// UID is the uid inside of a host uid; -1 when it has none.
func (s *Scene) UID(host int) int {
	if s.uids == nil {
		return -1
	}
	return s.uids.Inside(host)
}

// HostUID is the host uid of an uid inside; -1 when it has none.
func (s *Scene) HostUID(insideUID int) int { return s.uids.Outside(insideUID) }

// Close lets go of the root.
func (s *Scene) Close() {
	if s.Root != nil {
		s.Root.Close()
		s.Root = nil
	}
}

// Stamp numbers an event and dates it. mono is CLOCK_MONOTONIC in ns, 0 for now.
func (s *Scene) Stamp(ev *event.Event, sensor string, mono uint64) {
	if mono == 0 {
		mono = uint64(monotonic())
	}
	s.seq++
	ev.V, ev.Seq, ev.Container, ev.Sensor = event.Version, s.seq, s.Container, sensor
	ev.Mono, ev.TS = int64(mono), s.boot.Add(time.Duration(mono)).UTC()
}

// Record makes an event of what the kernel side said; ok is false for records
// that only keep the table up to date.
func (s *Scene) Record(r *bpf.Record) (ev event.Event, ok bool) {
	switch r.Kind {
	case bpf.KindExec:
		return s.exec(r), true
	case bpf.KindFork:
		return s.fork(r), true
	case bpf.KindExit:
		return s.exit(r), true
	case bpf.KindConnect, bpf.KindSend, bpf.KindListen, bpf.KindAccept:
		return s.socket(r), true
	case bpf.KindSyscall:
		return s.syscall(r)
	}
	return ev, false
}

func (s *Scene) exec(r *bpf.Record) event.Event {
	p := s.adopt(r.PID, r.PPID, r.Start)
	p.NSPID, p.UID, p.Started = r.NSPID, s.UID(int(r.UID)), int64(r.Mono)
	ev := event.Event{
		Type: event.Exec, PID: r.PID, PPID: r.PPID, Start: r.Start, NSPID: r.NSPID, Argv: r.Argv,
		ArgvCut: r.ArgvCut, ArgvMissed: r.ArgvMissed, ExeDev: uint64(r.Dev), ExeIno: r.Ino,
	}
	s.Stamp(&ev, "exec", r.Mono)
	if r.ArgvMissed {
		s.Missed++
	}
	if p.UID >= 0 {
		uid := p.UID
		ev.UID = &uid
	}
	if r.TTY >= 0 {
		ev.TTY = "pts/" + strconv.Itoa(int(r.TTY))
	}
	s.program(&ev, r)
	ev.Stdio = make([]event.Stdio, len(r.FD))
	for i := range r.FD {
		ev.Stdio[i] = stdio(&r.FD[i])
	}
	ev.Chain = s.Table.Chain(p)
	p.Exe, p.Class, p.Is, p.Argv = ev.Exe, ev.ExeClass, ev.ExeIs, ev.Argv
	if p.Argv0 = ""; len(ev.Argv) > 0 {
		p.Argv0 = ev.Argv[0]
	}
	p.Role = s.roles.of(s.Table, p, s.Init)
	ev.Role = string(p.Role)
	parent := s.Table.Parent(p)
	p.begun = p.begun || p.Outside && begins(ev.Argv)
	p.Setup = !p.begun && p.UID == 0 && r.PID != s.Init && p.NSPID != 1 && (p.Outside || parent != nil && parent.Setup)
	ev.Setup = p.Setup
	s.script(&ev, r)
	return ev
}

// begins reports whether a command from outside is that of the session and not
// coi's own work: coi starts each with a script, which the kernel gives to a
// shell. The tool may be root too, and what the tool does is judged.
func begins(argv []string) bool {
	return slices.Contains(argv[:min(2, len(argv))], run.EnterPath)
}

// adopt finds or makes the entry of a process that showed itself.
func (s *Scene) adopt(pid, ppid int, start uint64) *Proc {
	p := s.Table.Get(pid)
	if p == nil || p.Start != start {
		p = &Proc{PID: pid, PPID: -1, Start: start, UID: -1}
	}
	if p.PPID != ppid {
		p.under(ppid, s.living(ppid))
	}
	p.Gone = false
	s.Table.Put(p)
	return p
}

// living is the process of the container that has a pid now. A process that
// enters from outside may have a parent on the host with the pid that a process
// of the container had before.
func (s *Scene) living(pid int) *Proc {
	q := s.Table.Get(pid)
	if q == nil {
		return nil
	}
	if st, err := s.Proc.ReadStat(pid); err == nil && st.Start != q.Start {
		return nil
	}
	return q
}

// under puts a process below its parent; nil is one outside the container.
func (p *Proc) under(ppid int, parent *Proc) {
	p.PPID, p.Outside, p.born = ppid, parent == nil, 0
	if parent != nil {
		p.born = parent.Start
	}
}

func (s *Scene) fork(r *bpf.Record) event.Event {
	parent := s.Table.Get(r.PID)
	if parent != nil && parent.Start != r.Start && r.Start != 0 { // 0: a weaker sensor does not know
		parent = nil
	}
	p := &Proc{PID: r.Child, Start: r.ChildStart, NSPID: r.ChildNSPID, UID: s.UID(int(r.UID))}
	p.under(r.PID, parent)
	s.Table.Put(p)
	if parent != nil {
		p.Exe, p.Class, p.Is, p.Argv, p.Argv0, p.Role = parent.Exe, parent.Class, parent.Is, parent.Argv, parent.Argv0, parent.Role
	}
	ev := event.Event{Type: event.Fork, PID: r.Child, PPID: r.PID, Start: r.ChildStart, NSPID: r.ChildNSPID}
	s.Stamp(&ev, "fork", r.Mono)
	return ev
}

func (s *Scene) exit(r *bpf.Record) event.Event {
	if p := s.Table.Get(r.PID); p != nil && (p.Start == r.Start || r.Start == 0) { // 0: a weaker sensor does not know
		s.Table.Leave(p)
	}
	ev := event.Event{Type: event.Exit, PID: r.PID, PPID: r.PPID, Start: r.Start, N: map[string]float64{"read": float64(r.Read), "written": float64(r.Written)}}
	s.about(&ev, r.PID)
	s.Stamp(&ev, "exit", r.Mono)
	return ev
}

// about fills in what is known of the process an event is about.
func (s *Scene) about(ev *event.Event, pid int) {
	p := s.Table.Get(pid)
	if p == nil {
		return
	}
	ev.PPID, ev.Start, ev.NSPID = p.PPID, p.Start, p.NSPID
	ev.Exe, ev.ExeClass, ev.ExeIs, ev.Role, ev.Setup = p.Exe, p.Class, p.Is, string(p.Role), p.Setup
	if p.UID >= 0 {
		uid := p.UID
		ev.UID = &uid
	}
}

// About is about for sensors that know a pid and nothing else.
func (s *Scene) About(ev *event.Event, pid int) {
	ev.PID = pid
	if p := s.Table.Get(pid); p == nil || p.Gone {
		s.discover(pid)
	}
	s.about(ev, pid)
	if p := s.Table.Get(pid); p != nil {
		ev.Argv = p.Argv
		ev.Chain = s.Table.Chain(p)
	}
}
