package daemon

import (
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

// poll does what nobody tells about: counters, losses, thaws by others,
// wiring of long-lived shells, logs.
func (c *container) poll() {
	if c.judge == nil {
		return
	}
	asleep := c.group != nil && c.asleep()
	if c.group != nil {
		if !asleep {
			c.sinceBoot()
			c.countLosses()
		}
		c.counters(asleep)
		if !asleep {
			c.checkMounts()
			c.readGuard()
			c.readNetView()
			c.wire.plan([]time.Duration{0})
		}
		if c.status.Frozen != nil && !c.resp.pending && !c.resp.killed && !c.group.Frozen() {
			c.resp.thawed("thawed by Incus or by hand")
		}
		if c.marks != nil {
			for _, ev := range c.marks.Overdue(time.Now()) {
				c.scene.About(&ev, ev.PID)
				c.scene.Stamp(&ev, "file", 0)
				c.judgeEvent(ev)
			}
		}
		c.deadline(time.Now())
	}
	c.arm()
	c.report()
	if !asleep || time.Since(c.view.at) >= viewEvery {
		c.writeView()
	}
}

// restAtMost is how long a container is believed to sleep without a look at
// everything.
const restAtMost = 10 * time.Second

// asleep reports whether nothing in the container ran since the last poll and
// no sensor told anything of it: then all that is read of it says what it said.
func (c *container) asleep() bool {
	heard := c.usage.heard
	c.usage.heard = c.heard
	if heard != c.heard || c.status.Frozen != nil || time.Since(c.usage.full) >= restAtMost {
		return false
	}
	cpu, ok := c.group.CPU()
	return ok && cpu == c.usage.u.CPU
}

// sinceBoot takes up what was not there when the group appeared.
func (c *container) sinceBoot() {
	if c.scene.Root == nil || !c.scene.Proc.Is(c.scene.Init, c.scene.InitStart) {
		if pids, err := c.group.PIDs(); err == nil {
			c.findInit(pids)
		}
	}
	if c.scene.Root != nil {
		c.auth.read(c)
	}
}

// counters reads what the cgroup counts and has it judged. While the container
// is asleep the last reading counts again.
func (c *container) counters(asleep bool) {
	at := time.Now()
	last := c.usage
	is := last
	if is.at = at; !asleep {
		is.full, is.u, is.forks, is.lost, is.tmp = at, c.group.Usage(), 0, c.status.Lost, c.tmpUsed()
		if src, ok := c.d.source.(*bpfSource); ok {
			is.forks = src.forks(c.slot)
		}
	}
	c.usage = is
	if last.at.IsZero() {
		return
	}
	u, forks, tmp := is.u, is.forks, is.tmp
	secs := at.Sub(last.at).Seconds()
	cores := float64(since(u.CPU, last.u.CPU)) / 1e9 / secs
	ev := event.Event{Type: event.Counter, N: map[string]float64{
		"pids": float64(u.Processes), "growth": float64(u.Processes - last.u.Processes), "forks": float64(since(forks, last.forks)) / secs, "interval_s": secs,
		"limit": float64(u.MaxProcesses), "cpu_cores": cores, "cores": u.Cores(), "mem_mb": mb(u.Memory), "mem_limit_mb": mb(u.MaxMemory),
		"oom": float64(since(u.OOM, last.u.OOM)), "tmp": tmp / 100, "lost": float64(since(c.status.Lost, last.lost)),
	}}
	c.scene.Stamp(&ev, "counters", 0)
	c.judgeEvent(ev)
	c.view.use.CPUPercent, c.view.use.MemoryMB, c.view.use.MemoryLimitMB = cores*100, mb(u.Memory), mb(u.MaxMemory)
	c.view.use.Processes, c.view.files.TmpUsedPercent = u.Processes, tmp
	c.busy(cores, u.Cores(), secs)
	c.volumes(secs, asleep)
}

// since is how much a counter grew. One that went back was begun anew, by a
// restarted container or sensor: it tells nothing, least of all a flood.
func since(is, was uint64) uint64 { return is - min(is, was) }

func mb(n uint64) float64 { return float64(n) / (1 << 20) }

// usage is the last reading of the counters.
type usage struct {
	at    time.Time
	full  time.Time // when it was really read
	u     cgroup.Usage
	forks uint64
	lost  uint64
	tmp   float64 // percent of /tmp in use
	heard int     // things that sensors had told
}

// heavy is the MB in one poll, and the MB/s over three, from which on it is
// looked at what a process sends.
const heavy, heavyRate = 20, 5

// volumes reads how much each process read and wrote since the last poll.
func (c *container) volumes(secs float64, asleep bool) {
	var read, written float64
	at := time.Now()
	c.scene.Table.Each(func(p *scene.Proc) {
		if asleep {
			p.Rates = [3]float64{p.Rates[1], p.Rates[2], 0}
			return
		}
		io, err := c.scene.Proc.ReadIO(p.PID)
		if err != nil {
			return
		}
		r, w := mb(io.Read-min(io.Read, p.Read)), mb(io.Written-min(io.Written, p.Written))
		p.Read, p.Written = io.Read, io.Written
		read, written = read+r, written+w
		p.Rates = [3]float64{p.Rates[1], p.Rates[2], max(r, w) / secs}
		if r < 1 && w < 1 {
			return
		}
		rate := min(p.Rates[0], p.Rates[1], p.Rates[2]) // sustained over three polls
		ev := event.Event{Type: event.Counter, Op: "io", PID: p.PID, N: map[string]float64{"mb": max(r, w), "rate": rate, "read_mb": r, "written_mb": w, "interval_s": secs}}
		if c.d.wiring && (max(r, w) > heavy || rate > heavyRate) {
			ev.N["out_mb"] = c.sentBy(p, at)
		}
		c.scene.About(&ev, p.PID)
		c.scene.Stamp(&ev, "counters", 0)
		c.judgeEvent(ev)
	})
	f := &c.view.files
	f.ReadMB, f.WriteMB, f.ReadRate, f.WriteRate = f.ReadMB+read, f.WriteMB+written, read/secs, written/secs
}

// tmpUsed is how full /tmp is, in percent; 0 when it cannot be told.
func (c *container) tmpUsed() float64 {
	if c.scene.Root == nil {
		return 0
	}
	return c.scene.Root.Used("/tmp")
}

// Losses: told at most once in ten seconds; a flood is a finding by itself.
const (
	lossEvery = 10 * time.Second
	lossFlood = 1000
)

// countLosses tells of events that will never be judged, and looks at
// everything in their place.
func (c *container) countLosses() {
	total := c.d.source.lost(c.slot) + c.inbox.dropped()
	if total <= c.status.Lost {
		return
	}
	c.status.Lost = total
	at := time.Now()
	if at.Sub(c.losses.at) < lossEvery && c.losses.told != 0 && total-c.losses.told < lossFlood {
		return
	}
	n := total - c.losses.told
	c.losses.told, c.losses.at = total, at
	ev := event.Event{Type: event.Counter, N: map[string]float64{"lost": float64(n)}}
	c.scene.Stamp(&ev, "sensor", 0)
	f := detect.Finding{Rule: "sensor.lost", Level: coi.Warning, Title: plural(n, "event") + " lost", Why: "what they were about was not judged; everything that runs was looked at instead"}
	if c.cfg.Settings.OnLoss == "pause" {
		f.Level = coi.High
	}
	c.resp.found(f, ev)
	if n > lossFlood {
		c.resp.found(detect.Finding{
			Rule: "storm.fork", Level: coi.High, Title: "a flood of events: " + plural(n, "event") + " lost within ten seconds",
			Why: "a flood can be made to hide something else",
		}, ev)
	}
	c.survey()
}

// overtime is how long after its deadline a container without a supervisor is
// frozen by the watch.
const overtime = 60 * time.Second

func (c *container) deadline(at time.Time) {
	d := c.cfg.Deadline
	if d == nil || at.Sub(*d) < overtime || c.status.Frozen != nil || c.d.DryRun {
		return
	}
	f := detect.Finding{Rule: "life.overtime", Level: coi.High, Title: "the time limit passed and no supervisor ended the session"}
	c.resp.stop()
	ev := event.Event{Type: event.Counter}
	c.scene.Stamp(&ev, "clock", 0)
	c.resp.mark(f, c.resp.record(f, ev, audit.Paused))
}
