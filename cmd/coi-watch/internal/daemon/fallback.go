package daemon

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/procconn"
)

// known are the processes that a weaker source attributes by itself.
type known struct {
	d      *Daemon
	proc   proc.Root
	mu     sync.Mutex
	groups map[uint32]*cgroup.Group // by slot
	pids   map[int]uint32
	over   uint64
}

func newKnown(d *Daemon) known {
	return known{d: d, proc: proc.Host, groups: map[uint32]*cgroup.Group{}, pids: map[int]uint32{}}
}

func (k *known) watch(g *cgroup.Group, slot uint32) (func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.groups[slot] = g
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.groups, slot)
		for pid, s := range k.pids {
			if s == slot {
				delete(k.pids, pid)
			}
		}
	}, nil
}

func (k *known) lost(uint32) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over
}

// slotOf finds the container of a process: that of the parent it was forked
// by, else the one whose group it is in.
func (k *known) slotOf(pid int) (uint32, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if slot, ok := k.pids[pid]; ok {
		return slot, true
	}
	b, err := os.ReadFile(path.Join(string(k.proc), strconv.Itoa(pid), "cgroup"))
	if err != nil || len(b) > 64<<10 {
		return 0, false
	}
	for slot, g := range k.groups {
		for line := range strings.SplitSeq(string(b), "\n") {
			_, p, _ := strings.Cut(line, "::")
			if p == "/"+g.Name || strings.HasPrefix(p, "/"+g.Name+"/") {
				k.pids[pid] = slot
				return slot, true
			}
		}
	}
	return 0, false
}

func (k *known) deliver(slot uint32, r bpf.Record) {
	r.Slot = uint16(slot)
	if c := k.d.atSlot(int(slot)); c != nil {
		c.inbox.add(item{record: &r})
	}
}

// describe reads what the kernel side would have told of an exec. What is gone
// already is left empty and said so.
func (k *known) describe(pid int) bpf.Record {
	r := bpf.Record{Kind: bpf.KindExec, PID: pid, TTY: -1, Mono: uint64(now()), ArgvMissed: true}
	if st, err := k.proc.ReadStat(pid); err == nil {
		r.PPID, r.Start, r.Name = st.PPID, st.Start, st.Comm
	}
	if s, err := k.proc.ReadStatus(pid); err == nil {
		r.UID = uint32(max(s.UID, 0))
		if n := len(s.NSPIDs); n > 0 {
			r.NSPID = s.NSPIDs[n-1]
		}
	}
	if exe, _, err := k.proc.Exe(pid); err == nil {
		r.File, r.Interp, r.Name = exe, exe, path.Base(exe)
	}
	var st unix.Stat_t
	if err := unix.Stat(path.Join(string(k.proc), strconv.Itoa(pid), "exe"), &st); err == nil {
		r.Dev, r.Ino, r.Mode, r.Nlink, r.Ctime = unix.Major(st.Dev)<<20|unix.Minor(st.Dev), st.Ino, st.Mode, uint32(st.Nlink), st.Ctim.Sec
	}
	if argv, cut, err := k.proc.Argv(pid); err == nil && len(argv) > 0 {
		r.Argv, r.ArgvCut, r.ArgvMissed = argv, cut, false
	}
	return r
}

// connSource is the second tier: pids from the process connector.
type connSource struct {
	known
	s   *procconn.Sensor
	why error
}

func (c *connSource) names() []string {
	return []string{"exec:connector", "fork:connector", "exit:connector"}
}

func (c *connSource) problems() []string {
	return []string{fmt.Sprintf("exec arguments of very short processes may be missed; connections and system calls are not told (%v)", c.why)}
}

func (c *connSource) sensor() sensor {
	return sensor{name: "processes", unseen: "programs started and ended", read: c.read, renew: c.renew}
}

func (c *connSource) read(context.Context) error {
	c.mu.Lock()
	s, before := c.s, c.over
	c.mu.Unlock()
	return s.Read(func(e procconn.Event) {
		c.mu.Lock()
		c.over = before + s.Lost.Load()
		c.mu.Unlock()
		c.event(e)
	})
}

func (c *connSource) renew() error {
	s, err := procconn.Open()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Close()
	c.s = s
	return nil
}

func (c *connSource) event(e procconn.Event) {
	if e.ThreadOfSelf {
		return
	}
	switch e.Kind {
	case procconn.Fork:
		if slot, ok := c.slotOf(e.Parent); ok {
			c.mu.Lock()
			c.pids[e.TGID] = slot
			c.mu.Unlock()
			r := bpf.Record{Kind: bpf.KindFork, PID: e.Parent, Child: e.TGID, Mono: e.TimestampNS}
			if st, err := c.proc.ReadStat(e.TGID); err == nil {
				r.ChildStart = st.Start
			}
			c.deliver(slot, r)
		}
	case procconn.Exec:
		if slot, ok := c.slotOf(e.TGID); ok {
			c.deliver(slot, c.describe(e.TGID))
		}
	case procconn.Exit:
		c.mu.Lock()
		slot, ok := c.pids[e.TGID]
		delete(c.pids, e.TGID)
		c.mu.Unlock()
		if ok {
			c.deliver(slot, bpf.Record{Kind: bpf.KindExit, PID: e.TGID, Mono: e.TimestampNS})
		}
	}
}

// settle has nothing to do: each event is handed over when it is told.
func (c *connSource) settle() {}

func (c *connSource) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Close()
}

// scanSource is the last tier: it looks who is there, again and again.
type scanSource struct {
	known
	why  error
	seen map[uint32]map[int]uint64 // slot, pid, start time
}

// scanEvery is how often the last tier looks.
const scanEvery = 100 * time.Millisecond

func (s *scanSource) names() []string { return []string{"exec:scan"} }

func (s *scanSource) problems() []string {
	return []string{fmt.Sprintf("weak: only processes that live longer than %s are seen (%v)", scanEvery, s.why)}
}

func (s *scanSource) sensor() sensor {
	return sensor{name: "processes", unseen: "programs started and ended", read: s.read, renew: func() error { return nil }}
}

func (s *scanSource) read(ctx context.Context) error {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		groups := map[uint32]*cgroup.Group{}
		maps.Copy(groups, s.groups)
		s.mu.Unlock()
		for slot, g := range groups {
			s.scan(slot, g)
		}
	}
}

func (s *scanSource) scan(slot uint32, g *cgroup.Group) {
	pids, err := g.PIDs()
	if err != nil {
		return // the container is ending
	}
	old, is := s.seen[slot], map[int]uint64{}
	for _, pid := range pids {
		st, err := s.proc.ReadStat(pid)
		if err != nil {
			continue
		}
		is[pid] = st.Start
		if start, ok := old[pid]; !ok || start != st.Start {
			s.deliver(slot, s.describe(pid))
		}
	}
	for pid, start := range old {
		if is[pid] != start {
			s.deliver(slot, bpf.Record{Kind: bpf.KindExit, PID: pid, Start: start, Mono: uint64(now())})
		}
	}
	s.seen[slot] = is
}

// settle has nothing to do: nobody tells before the next look.
func (*scanSource) settle() {}

func (*scanSource) close() {}
