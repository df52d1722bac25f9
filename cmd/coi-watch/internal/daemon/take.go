package daemon

import (
	"runtime"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// turn is how many things are judged before the other containers get their turn.
const turn = 32

// takeAll has everything judged that was taken out of the inbox at once.
func (c *container) takeAll(b batch) {
	c.heard += len(b.items)
	for i := range b.items {
		if i%turn == turn-1 {
			runtime.Gosched()
		}
		switch it := &b.items[i]; {
		case c.scene == nil:
			return
		case it.file != nil:
			c.takeFile(*it.file)
		case it.event != nil:
			c.takeEvent(*it.event)
		case it.record != nil:
			c.takeRecord(it.record)
		default:
			if err := c.record.Decode(b.raw[it.at : it.at+it.size]); err != nil {
				c.d.logf("%s: record: %v", c.name, err)
				continue
			}
			c.takeRecord(&c.record)
		}
	}
}

// takeEvent is an event of a sensor that knows a process and no more.
func (c *container) takeEvent(ev event.Event) {
	if ev.PID != 0 {
		c.scene.About(&ev, ev.PID)
	}
	c.scene.Stamp(&ev, ev.Sensor, uint64(ev.Mono))
	c.judgeAndPlan(ev, nil)
}

// takeRecord understands a record and has it judged. It may not keep it.
func (c *container) takeRecord(rec *bpf.Record) {
	if rec.Kind == bpf.KindExec && c.scene.Root == nil && rec.NSPID == 1 {
		c.findInit([]int{rec.PID})
	}
	if ev, ok := c.scene.Record(rec); ok {
		c.judgeAndPlan(ev, rec)
	}
}

func (c *container) judgeAndPlan(ev event.Event, rec *bpf.Record) {
	c.judgeEvent(ev)
	if ev.Type == event.Connect {
		c.net.remember(c, ev)
	}
	c.considerWiring(ev, rec)
}

func (c *container) judgeEvent(ev event.Event) {
	for _, f := range c.judge.Process(ev) {
		if f, tell := c.soften(f, ev); tell {
			c.resp.found(f, ev)
		}
	}
	if ev.Type == event.Exec && ev.Sensor == "exec" {
		c.delay.add(ev.Mono)
	}
	if ev.Type != event.FDs && !idle(ev) { // a graph is large, and read again at the next look
		c.stream.add(c.clean(ev))
	}
}

// idle is a reading of counters that says nothing happened.
func idle(ev event.Event) bool {
	return ev.Type == event.Counter && ev.PID == 0 && ev.N["growth"] == 0 && ev.N["forks"] == 0 && ev.N["lost"] == 0 && ev.N["cpu_cores"] < 0.01
}

func (c *container) flush(now time.Time, force bool) {
	if err := c.stream.flush(now, force); err != nil {
		c.d.logf("%s: %v", c.name, err)
	}
}

func (c *container) settings() engine.Config {
	s := c.cfg.Settings
	cfg := engine.Config{
		Container: c.name, Workspace: c.cfg.Workspace, Home: c.cfg.Home, User: c.cfg.User, Tool: c.cfg.Tool, Locked: c.cfg.Locked,
		Secrets: c.cfg.Secrets, Allowed: s.AllowedDomains, FileReadMB: s.FileReadThresholdMB, FileReadRateMB: s.FileReadRateMBPerSec,
		FileReadTrusted: s.FileReadThresholdSet, ProcessCount: s.ProcessCount, SpawnRate: s.ProcessSpawnRate, UploadWarnMB: s.UploadWarnMB,
		UploadHighMB: s.UploadHighMB, PollSeconds: s.PollIntervalSec, OneLiners: s.ReverseShellOneLiners, Levels: map[string]coi.Level{},
		SigmaDir: c.d.Home.Expand(s.SigmaDir), GTFODir: c.d.Home.Expand(s.GTFOBinsDir), PatternD: c.d.Home.Expand(s.PatternsDir),
	}
	for id, word := range s.Levels {
		// Critical is for the catalogue alone: a setting may not end containers.
		if l, err := coi.ParseLevel(word); err == nil && l != coi.Critical {
			cfg.Levels[id] = l
		}
	}
	return cfg
}
