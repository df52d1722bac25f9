// Package bpf is the first choice of sensor for processes, connections and
// system calls: programs on typed tracepoints and cgroup hooks that copy what
// they see at the moment it happens, so that nothing depends on how long a
// process lives. kprobes, fentry and LSM programs are not used: some kernels
// that have BTF refuse them.
package bpf

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// The object is made from c/watch.bpf.c by generate and kept in the
// repository, so that building coi needs no C compiler.
//
//go:generate go run ./generate
//go:embed watch.o
var object []byte

// Slots is the number of containers the kernel side can tell apart.
const Slots = 256

// Source names a group of programs that stands or falls together.
type Source string

// Sources in the order they are loaded. Tree is exec, fork and exit and must load.
const (
	Tree     Source = "process"
	Connect  Source = "connect"
	State    Source = "state"
	Syscalls Source = "syscalls"
)

var groups = []struct {
	source   Source
	programs []string
}{
	{Tree, []string{"on_exec", "on_fork", "on_exit"}},
	{Connect, []string{"on_connect4", "on_connect6", "on_sendmsg4", "on_sendmsg6"}},
	{State, []string{"on_state"}},
	{Syscalls, []string{"on_syscall"}},
}

// Sensor is the loaded kernel side. Close takes all of it out of the kernel;
// so does the end of the process.
type Sensor struct {
	shared *ebpf.Collection
	extra  []*ebpf.Collection
	hooks  map[string]*ebpf.Program
	links  []link.Link
	ring   *ringbuf.Reader
	bell   *os.File // the ring as something to wait for
	have   map[Source]bool
	lacks  map[Source]error

	reading sync.Mutex // of the ring
	closed  bool
	record  ringbuf.Record
	drained atomic.Uint64
}

// Open loads and attaches the programs. It fails when processes cannot be
// seen; other groups that the kernel refuses are named by Lacks.
func Open() (*Sensor, error) {
	s := &Sensor{hooks: map[string]*ebpf.Program{}, have: map[Source]bool{}, lacks: map[Source]error{}}
	for _, g := range groups {
		err := s.load(g.programs)
		if err == nil {
			s.have[g.source] = true
			continue
		}
		if g.source == Tree {
			s.Close()
			return nil, fmt.Errorf("load eBPF programs: %w", err)
		}
		s.lacks[g.source] = err
	}
	ring, err := ringbuf.NewReader(s.shared.Maps["events"])
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open ring buffer: %w", err)
	}
	s.ring = ring
	ring.SetDeadline(time.Unix(1, 0)) // it never waits: Wait does
	if s.bell, err = bellOf(s.shared.Maps["events"]); err != nil {
		s.Close()
		return nil, fmt.Errorf("wait for ring buffer: %w", err)
	}
	debug.FreeOSMemory() // the kernel's type information was read and is not needed any more
	return s, nil
}

// Has reports whether a group of programs is in force.
func (s *Sensor) Has(g Source) bool { return s.have[g] }

// Lacks says why the groups that are not in force are not.
func (s *Sensor) Lacks() map[Source]error { return s.lacks }

func (s *Sensor) load(names []string) error {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, n := range names {
		keep[n] = true
	}
	for name := range spec.Programs {
		if !keep[name] {
			delete(spec.Programs, name)
		}
	}
	if err := setConstants(spec); err != nil {
		return err
	}
	opts := ebpf.CollectionOptions{}
	if s.shared != nil {
		opts.MapReplacements = map[string]*ebpf.Map{}
		for _, name := range []string{"events", "watched", "slots", "scratch"} {
			opts.MapReplacements[name] = s.shared.Maps[name]
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, opts)
	if err != nil {
		return err
	}
	if s.shared == nil {
		s.shared = c
	} else {
		s.extra = append(s.extra, c)
	}
	return s.attach(c)
}

func (s *Sensor) attach(c *ebpf.Collection) error {
	for name, p := range c.Programs {
		var l link.Link
		var err error
		switch p.Type() {
		case ebpf.Tracing:
			l, err = link.AttachTracing(link.TracingOptions{Program: p})
		case ebpf.RawTracepoint:
			l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_exit", Program: p})
		default:
			s.hooks[name] = p // attached to each container's cgroup
			continue
		}
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		s.links = append(s.links, l)
	}
	return nil
}

// setConstants tells the programs which system calls matter and where this
// machine keeps their arguments.
func setConstants(spec *ebpf.CollectionSpec) error {
	m, ok := machines[runtime.GOARCH]
	if !ok {
		return nil // no table: no system call is of interest
	}
	var interest [2][512]uint8
	for call, nr := range m.native {
		interest[0][nr] = call
	}
	for call, nr := range m.compat {
		interest[1][nr] = call
	}
	for name, v := range map[string]any{"interest": interest, "user_regs": m.regs, "compat_bit": m.compatBit} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// Watch starts to tell what happens below a cgroup. id is the cgroup's number
// in the unified hierarchy (its file handle), slot names the container.
// Counters of the slot start at zero.
func (s *Sensor) Watch(id uint64, slot uint32) error {
	if err := s.shared.Maps["slots"].Put(slot, make([]byte, slotSize)); err != nil {
		return fmt.Errorf("reset slot %d: %w", slot, err)
	}
	return s.shared.Maps["watched"].Put(id, slot)
}

// Unwatch forgets a cgroup.
func (s *Sensor) Unwatch(id uint64) error {
	err := s.shared.Maps["watched"].Delete(id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// Hook attaches the connection programs to one cgroup, beside whatever else is
// attached there. They only look. The returned links hold them in place.
func (s *Sensor) Hook(cgroup string) (links []link.Link, err error) {
	kinds := map[string]ebpf.AttachType{
		"on_connect4": ebpf.AttachCGroupInet4Connect, "on_connect6": ebpf.AttachCGroupInet6Connect,
		"on_sendmsg4": ebpf.AttachCGroupUDP4Sendmsg, "on_sendmsg6": ebpf.AttachCGroupUDP6Sendmsg,
	}
	for name, p := range s.hooks {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: kinds[name], Program: p})
		if err != nil {
			for _, done := range links {
				_ = done.Close()
			}
			return nil, fmt.Errorf("attach %s: %w", name, err)
		}
		links = append(links, l)
	}
	return links, nil
}

// Counts of one container since Watch.
type Counts struct {
	Seq   uint64 // events numbered, also those that found the ring full
	Over  uint64 // lost: over the container's budget
	Full  uint64 // lost: ring buffer full
	Forks uint64 // processes made, told or not
}

// Lost is the number of events that will never arrive.
func (c Counts) Lost() uint64 { return c.Over + c.Full }

// Counts reads the counters of a slot.
func (s *Sensor) Counts(slot uint32) (Counts, error) {
	raw := make([]byte, slotSize)
	if err := s.shared.Maps["slots"].Lookup(slot, &raw); err != nil {
		return Counts{}, err
	}
	le := native
	return Counts{Seq: le.Uint64(raw), Over: le.Uint64(raw[32:]), Full: le.Uint64(raw[40:]), Forks: le.Uint64(raw[48:])}, nil
}

// slotSize is sizeof(struct slot) in watch.bpf.c.
const slotSize = 72

// bellOf makes a file of a ring buffer, on which the runtime waits beside all
// else it waits for: a system call of its own would cost more than the records.
func bellOf(ring *ebpf.Map) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(ring.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ring buffer"), nil
}

// Pending is the number of bytes in the ring that nobody has read yet.
func (s *Sensor) Pending() int {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.pending()
}

func (s *Sensor) pending() int {
	if s.closed {
		return 0
	}
	return s.ring.AvailableBytes()
}

// Drained is how often Drain found something.
func (s *Sensor) Drained() uint64 { return s.drained.Load() }

// Drain gives every record that is in the ring to f, which may keep nothing of
// it, and returns how many there were. It never waits. Drains by several
// goroutines follow each other. After Close it returns os.ErrClosed.
func (s *Sensor) Drain(f func(record []byte)) (n int, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed {
		return 0, os.ErrClosed
	}
	for s.pending() > 0 { // where it finds nothing, ReadInto asks the kernel
		err := s.ring.ReadInto(&s.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return n, err
		}
		n++
		f(s.record.RawSample)
	}
	if n > 0 {
		s.drained.Add(1)
	}
	return n, nil
}

// Wait returns when the kernel side has woken the reader, when somebody drained
// the ring since it had been drained that often, or after a time, 0 for never;
// woken is false then. The kernel side does not wake for every record: the last
// of them is to be looked for within the time Straggle after each Drain that
// found something. After Close it returns os.ErrClosed.
func (s *Sensor) Wait(drained uint64, most time.Duration) (woken bool, err error) {
	var until time.Time
	if most > 0 {
		until = time.Now().Add(most)
	}
	conn, err := s.bell.SyscallConn()
	if err == nil {
		err = s.bell.SetReadDeadline(until)
	}
	if err == nil {
		first := true
		err = conn.Read(func(uintptr) bool {
			told := !first || s.Pending() > 0 || s.Drained() != drained
			first = false
			return told
		})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// Straggle is how long after it was woken the reader looks for records that
// nobody wakes it for: longer than the kernel side waits before it wakes again
// for the same container, GATHER_NS in watch.bpf.c.
const Straggle = 6 * time.Millisecond

// Close detaches everything.
func (s *Sensor) Close() {
	if s.bell != nil {
		_ = s.bell.Close() // ends Wait
	}
	s.reading.Lock()
	s.closed = true
	if s.ring != nil {
		_ = s.ring.Close()
	}
	s.reading.Unlock()
	for _, l := range s.links {
		_ = l.Close()
	}
	for _, c := range s.extra {
		c.Close()
	}
	if s.shared != nil {
		s.shared.Close()
	}
}
