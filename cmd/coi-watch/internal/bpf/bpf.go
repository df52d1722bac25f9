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

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
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
	have   map[Source]bool
	lacks  map[Source]error
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
const slotSize = 56

// Pending is the number of bytes in the ring that nobody has read yet.
func (s *Sensor) Pending() int { return s.ring.AvailableBytes() }

// Read waits for the next record and gives its bytes to into, which is reused
// when it is large enough. After Close it returns os.ErrClosed.
func (s *Sensor) Read(rec *ringbuf.Record) error {
	err := s.ring.ReadInto(rec)
	if errors.Is(err, ringbuf.ErrClosed) {
		return os.ErrClosed
	}
	return err
}

// Close detaches everything.
func (s *Sensor) Close() {
	if s.ring != nil {
		_ = s.ring.Close()
	}
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
