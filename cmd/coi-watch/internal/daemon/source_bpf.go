package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf/link"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
)

// bpfSource is the eBPF tier.
type bpfSource struct {
	d *Daemon

	mu      sync.Mutex
	s       *bpf.Sensor
	watched map[uint32]*hooked
	before  map[uint32]uint64 // lost by sensors that failed
}

// hooked is a group that is told about and what is attached to it.
type hooked struct {
	group *cgroup.Group
	links []link.Link
}

func newBPF(d *Daemon, s *bpf.Sensor) *bpfSource {
	return &bpfSource{d: d, s: s, watched: map[uint32]*hooked{}, before: map[uint32]uint64{}}
}

func (b *bpfSource) kernel() *bpf.Sensor {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

func (b *bpfSource) names() []string {
	s := b.kernel()
	out := []string{"exec:ebpf", "fork:ebpf", "exit:ebpf"}
	if s.Has(bpf.Connect) {
		out = append(out, "connect:ebpf")
	}
	if s.Has(bpf.State) {
		out = append(out, "listen:ebpf")
	}
	if s.Has(bpf.Syscalls) {
		out = append(out, "syscalls:ebpf")
	}
	return out
}

func (b *bpfSource) problems() []string {
	var out []string
	for g, err := range b.kernel().Lacks() {
		out = append(out, fmt.Sprintf("%s: %v", g, err))
	}
	return out
}

func (b *bpfSource) watch(g *cgroup.Group, slot uint32) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &hooked{group: g}
	if err := b.attach(h, slot); err != nil && h.links == nil {
		return nil, err
	}
	b.watched[slot] = h
	return func() { b.unwatch(h, slot) }, nil
}

// attach begins to tell about a group. Without connections it tells the rest.
func (b *bpfSource) attach(h *hooked, slot uint32) error {
	if err := b.s.Watch(h.group.ID, slot); err != nil {
		return err
	}
	h.links = []link.Link{}
	if !b.s.Has(bpf.Connect) {
		return nil
	}
	links, err := b.s.Hook(h.group.Dir)
	if err == nil {
		h.links = links
	}
	return err
}

func (b *bpfSource) unwatch(h *hooked, slot uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.s.Unwatch(h.group.ID)
	for _, l := range h.links {
		_ = l.Close()
	}
	if b.watched[slot] == h {
		delete(b.watched, slot)
		delete(b.before, slot)
	}
}

func (b *bpfSource) lost(slot uint32) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.s.Counts(slot)
	if err != nil {
		return b.before[slot]
	}
	return b.before[slot] + c.Lost()
}

// forks is how many processes a container made since the sensor was begun.
func (b *bpfSource) forks(slot uint32) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.s.Counts(slot)
	if err != nil {
		return 0
	}
	return c.Forks
}

func (b *bpfSource) sensor() sensor {
	return sensor{name: "processes", unseen: "programs started, connections and system calls", read: b.read, renew: b.renew}
}

// renew loads everything anew for the same containers.
func (b *bpfSource) renew() error {
	s, err := bpf.Open()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.s
	b.s = s
	for slot, h := range b.watched {
		if c, cerr := old.Counts(slot); cerr == nil {
			b.before[slot] += c.Lost()
		}
		for _, l := range h.links {
			_ = l.Close()
		}
		err = errors.Join(err, b.attach(h, slot))
	}
	old.Close()
	return err
}

// read takes what the kernel side woke it for, and for a moment after that what
// comes without a word.
func (b *bpfSource) read(ctx context.Context) error {
	s := b.kernel()
	for woken := true; ctx.Err() == nil; {
		drained := s.Drained()
		n, err := b.drain(s)
		wait := bpf.Straggle
		switch {
		case n > 0:
			drained++
		case !woken:
			wait = 0
		}
		if err == nil {
			woken, err = s.Wait(drained, wait)
		}
		if err != nil {
			return fmt.Errorf("ring buffer: %w", err)
		}
	}
	return nil
}

// many is how many records may wait for a container before it is woken; with
// fewer it is woken when all there is was taken, because each wake-up costs more
// than a record.
const many = 64

// drain puts what is in the ring into the inboxes.
func (b *bpfSource) drain(s *bpf.Sensor) (int, error) {
	var woken []*container
	n, err := s.Drain(func(record []byte) {
		c := b.d.atSlot(bpf.SlotOf(record))
		switch {
		case c == nil:
		case c.inbox.put(record) == many:
			c.inbox.rouse()
		case !slices.Contains(woken, c):
			woken = append(woken, c)
		}
	})
	for _, c := range woken {
		c.inbox.rouse()
	}
	return n, err
}

// settle brings what happened until now into the inboxes. What goes wrong the
// reader tells of.
func (b *bpfSource) settle() { _, _ = b.drain(b.kernel()) }

func (b *bpfSource) close() { b.kernel().Close() }
