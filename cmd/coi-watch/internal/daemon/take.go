package daemon

import (
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// take understands one item of the inbox and has it judged.
func (c *container) take(it *item) {
	if c.scene == nil {
		return
	}
	if it.file != nil {
		c.takeFile(*it.file)
		return
	}
	var ev event.Event
	rec := it.record
	if rec != nil {
		if rec.Kind == bpf.KindExec && c.scene.Root == nil && rec.NSPID == 1 {
			c.findInit([]int{rec.PID})
		}
		var ok bool
		if ev, ok = c.scene.Record(*rec); !ok {
			return
		}
	} else {
		ev = *it.event
		if ev.PID != 0 {
			c.scene.About(&ev, ev.PID)
		}
		c.scene.Stamp(&ev, ev.Sensor, uint64(ev.Mono))
	}
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
