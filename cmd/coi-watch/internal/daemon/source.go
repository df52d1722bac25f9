package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/procconn"
)

// slots is how many containers can be told apart at once.
const slots = bpf.Slots

// source tells what processes do: eBPF, else the process connector, else looks
// at /proc.
type source interface {
	names() []string
	problems() []string
	// watch begins to tell about a group; the records go to the container's inbox.
	watch(g *cgroup.Group, slot uint32) (unwatch func(), err error)
	// lost is the number of events of a container that will never arrive.
	lost(slot uint32) uint64
	read(ctx context.Context)
	close()
}

// Tiers of the process sensor, best first. Options.Tier begins lower down.
const (
	TierBPF       = "ebpf"
	TierConnector = "connector"
	TierScan      = "scan"
)

// openSource takes the best source that works here, at most the one asked for.
func openSource(d *Daemon) source {
	why := fmt.Errorf("asked for")
	if d.Tier == "" || d.Tier == TierBPF {
		if d.layout.Unified == "" {
			why = fmt.Errorf("no unified control groups")
		} else if s, err := bpf.Open(); err != nil {
			why = err
		} else {
			return &bpfSource{d: d, s: s}
		}
	}
	if d.Tier != TierScan {
		s, err := procconn.Open()
		if err == nil {
			return &connSource{known: newKnown(d), s: s, why: why}
		}
		why = fmt.Errorf("%w; %w", why, err)
	}
	return &scanSource{known: newKnown(d), why: why, seen: map[uint32]map[int]uint64{}}
}

// bpfSource is the eBPF tier.
type bpfSource struct {
	d *Daemon
	s *bpf.Sensor
}

func (b *bpfSource) names() []string {
	out := []string{"exec:ebpf", "fork:ebpf", "exit:ebpf"}
	if b.s.Has(bpf.Connect) {
		out = append(out, "connect:ebpf")
	}
	if b.s.Has(bpf.State) {
		out = append(out, "listen:ebpf")
	}
	if b.s.Has(bpf.Syscalls) {
		out = append(out, "syscalls:ebpf")
	}
	return out
}

func (b *bpfSource) problems() []string {
	var out []string
	for g, err := range b.s.Lacks() {
		out = append(out, fmt.Sprintf("%s: %v", g, err))
	}
	return out
}

func (b *bpfSource) watch(g *cgroup.Group, slot uint32) (func(), error) {
	if err := b.s.Watch(g.ID, slot); err != nil {
		return nil, err
	}
	var hooks []link.Link
	var err error
	if b.s.Has(bpf.Connect) {
		hooks, err = b.s.Hook(g.Dir)
	}
	return func() {
		_ = b.s.Unwatch(g.ID)
		for _, l := range hooks {
			_ = l.Close()
		}
	}, err
}

func (b *bpfSource) lost(slot uint32) uint64 {
	c, err := b.s.Counts(slot)
	if err != nil {
		return 0
	}
	return c.Lost()
}

// gather is how long the reader lets records pile up while they come fast: the
// batch of one wake-up.
const gather = 500 * time.Microsecond

func (b *bpfSource) read(ctx context.Context) {
	var rec ringbuf.Record
	for ctx.Err() == nil {
		if err := b.s.Read(&rec); err != nil {
			if ctx.Err() == nil {
				b.d.logf("ring buffer: %v", err)
			}
			return
		}
		b.deliver(rec.RawSample)
		if b.s.Pending() == 0 {
			time.Sleep(gather) //nolint:forbidigo // the next record would wake us by itself, at the price of an interrupt each
		}
	}
}

func (b *bpfSource) deliver(raw []byte) {
	r, err := bpf.Decode(raw)
	if err != nil {
		b.d.logf("record: %v", err)
		return
	}
	if c := b.d.atSlot(int(r.Slot)); c != nil {
		c.inbox.put(r)
	}
}

func (b *bpfSource) close() { b.s.Close() }
