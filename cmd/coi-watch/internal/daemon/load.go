package daemon

import (
	"net/netip"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fds"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// load is what trees of processes do over time: which of them keeps the
// processors busy, and how much they send outside. It is looked at only while a
// container uses nearly all of its processors, or a process reads very much.
type load struct {
	reader *fds.Reader
	ticks  map[int]ticks     // of the last busy poll
	flows  map[string][]sent // by socket, within sentWindow
}

// ticks is the processor time of a process, in clock ticks.
type ticks struct{ start, used uint64 }

// sent is how much a socket had sent at a time.
type sent struct {
	at    time.Time
	bytes int64
}

const (
	nearlyAll  = 0.85 // of the processors
	sentWindow = time.Minute
	maxFlows   = 1024
	hertz      = 100 // clock ticks a second in /proc, on every Linux
)

func newLoad() load { return load{reader: fds.New(), flows: map[string][]sent{}} }

// busy has the tree judged that uses most of the processors, when the container
// uses nearly all of them.
func (c *container) busy(cores, allowed, secs float64) {
	if allowed <= 0 || cores < nearlyAll*allowed {
		c.load.ticks = nil
		return
	}
	is, tree := map[int]ticks{}, map[*scene.Proc]float64{}
	var top *scene.Proc
	c.scene.Table.Each(func(p *scene.Proc) {
		st, err := c.scene.Proc.ReadStat(p.PID)
		if err != nil || st.Start != p.Start {
			return
		}
		now := ticks{st.Start, st.UTime + st.STime}
		is[p.PID] = now
		was, known := c.load.ticks[p.PID]
		if !known || was.start != now.start {
			return
		}
		t := c.treeOf(p)
		tree[t] += float64(since(now.used, was.used)) / hertz / secs
		if top == nil || tree[t] > tree[top] {
			top = t
		}
	})
	c.load.ticks = is
	if top == nil {
		return
	}
	ev := event.Event{Type: event.Counter, Op: "cpu", PID: top.PID, N: map[string]float64{"cpu_cores": tree[top], "cores": allowed, "interval_s": secs}}
	if c.d.wiring {
		age, bytes := c.longest(top)
		ev.N["flow_s"], ev.N["flow_bytes"] = age.Seconds(), bytes
	}
	c.scene.About(&ev, top.PID)
	c.scene.Stamp(&ev, "counters", 0)
	c.judgeEvent(ev)
}

// treeOf is the top of the tree of a process: trees begin below the tool, the
// agents and trusted relays.
func (c *container) treeOf(p *scene.Proc) *scene.Proc {
	for range 64 {
		up := c.scene.Table.Parent(p)
		if up == nil || up.Gone || up.Role != wiring.Plain {
			break
		}
		p = up
	}
	return p
}

// outside are the connections of a tree that lead out of the container.
func (c *container) outside(tree *scene.Proc) []wiring.FD {
	var subjects []fds.Subject
	c.scene.Table.Each(func(p *scene.Proc) {
		if c.treeOf(p) == tree {
			subjects = append(subjects, fds.Subject{PID: p.PID, PPID: p.PPID, Start: p.Start})
		}
	})
	var out []wiring.FD
	for _, n := range c.load.reader.Read(subjects, now()).Nodes {
		for _, fd := range n.FDs {
			if fd.Kind != wiring.Inet || !fd.Connected {
				continue
			}
			if a, err := netip.ParseAddr(fd.Peer); err == nil && !a.Unmap().IsLoopback() {
				out = append(out, fd)
			}
		}
	}
	return out
}

// longest is the age of the oldest connection to outside of a tree, and the
// bytes that went over it both ways.
func (c *container) longest(tree *scene.Proc) (age time.Duration, bytes float64) {
	for _, fd := range c.outside(tree) {
		if d := time.Duration(fd.AgeMS) * time.Millisecond; d >= age {
			age, bytes = d, float64(fd.Sent+fd.Received)
		}
	}
	return age, bytes
}

// sentBy is how much the tree of a process sent outside within the last minute,
// in MB, over connections that are open now. What a connection sent before it
// was first looked at does not count: nobody knows when that was.
func (c *container) sentBy(p *scene.Proc, at time.Time) float64 {
	var sum int64
	for _, fd := range c.outside(c.treeOf(p)) {
		list := c.load.flows[fd.ID]
		for len(list) > 1 && at.Sub(list[1].at) >= sentWindow {
			list = list[1:]
		}
		if len(list) == 0 && len(c.load.flows) >= maxFlows {
			clear(c.load.flows) // rare, and sockets that are gone go with the rest
		}
		list = append(list, sent{at, fd.Sent})
		c.load.flows[fd.ID] = list
		sum += fd.Sent - list[0].bytes
	}
	return float64(sum) / (1 << 20)
}
