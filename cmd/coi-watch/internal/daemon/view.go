package daemon

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/run"
)

// viewEvery is how old a view may get in which nothing changed.
const viewEvery = 10 * time.Second

// maxThreats is how many findings a view shows.
const maxThreats = 50

// views gathers what `coi monitor` shows.
type views struct {
	threats []audit.Record
	files   view.Filesystem
	use     view.Resources
	last    []byte // as written, without its time
	at      time.Time
}

func (v *views) threat(r audit.Record) {
	v.threats = append(v.threats, r)
	if len(v.threats) >= 2*maxThreats {
		v.threats = slices.Clone(v.threats[len(v.threats)-maxThreats:])
	}
}

// writeView puts the view of this moment into its file.
func (c *container) writeView() {
	p50, p99 := c.delay.percentiles()
	v := view.View{
		SchemaVersion: run.Schema, Container: c.name,
		Watcher: view.Watcher{
			Running: true, Sources: c.status.Sources, Lost: int(min(c.status.Lost, math.MaxInt32)), Execs: c.delay.total(), P50us: p50.Microseconds(), P99us: p99.Microseconds(),
			Findings: c.resp.count, Frozen: c.status.Frozen != nil,
		},
		Filesystem: c.view.files, Resources: c.view.use, Network: view.Network{Connections: []view.Connection{}}, Processes: view.Processes{List: []view.Process{}},
		Hits: c.judge.Hits(), Threats: []view.Threat{}, Errors: append([]string{}, c.status.Problems...),
	}
	if c.marks != nil {
		v.Watcher.Marks = c.marks.Len()
	}
	r := c.redactor()
	c.scene.Table.Each(func(p *scene.Proc) {
		v.Processes.Total++
		if len(v.Processes.List) < 500 {
			v.Processes.List = append(v.Processes.List, c.viewProcess(p, r.Argv(p.Argv)))
		}
	})
	slices.SortFunc(v.Processes.List, func(a, b view.Process) int { return a.PID - b.PID })
	v.Network.Connections = append(v.Network.Connections, c.connections()...)
	for _, t := range c.view.threats[max(0, len(c.view.threats)-maxThreats):] {
		v.Threats = append(v.Threats, view.Threat{
			TS: t.TS, Level: string(t.Level), Rule: t.Rule, Action: t.Action, Title: t.Title, ID: t.ID, Argv: r.Argv(t.Argv), Path: t.Path, Peer: t.Peer, Port: t.Port,
		})
	}
	same, err := json.Marshal(v)
	at := time.Now()
	if err == nil && bytes.Equal(same, c.view.last) && at.Sub(c.view.at) < viewEvery {
		return
	}
	c.view.last, c.view.at, v.Timestamp = same, at, at.UTC()
	if err := run.Write(c.d.Home.Run(c.name+run.WatchViewFile), v); err != nil {
		c.d.logf("%s: %v", c.name, err)
	}
}

func (c *container) viewProcess(p *scene.Proc, argv []string) view.Process {
	q := view.Process{PID: p.PID, PPID: p.PPID, UID: p.UID, User: c.users.name(p.UID), Command: argv, Exe: p.Exe, Flags: []string{}}
	if p.Role != wiring.Plain {
		q.Flags = append(q.Flags, string(p.Role))
	}
	if p.Outside {
		q.Flags = append(q.Flags, "entered")
	}
	return q
}

// connections are the sockets of the last look that lead somewhere.
func (c *container) connections() []view.Connection {
	var out []view.Connection
	if c.wire.last == nil {
		return out
	}
	for _, n := range c.wire.last.Nodes {
		for _, fd := range n.FDs {
			if fd.Kind != wiring.Inet || len(out) >= 500 {
				continue
			}
			state := "listening"
			switch {
			case fd.Connected:
				state = "established"
			case !fd.Listen:
				state = "open"
			}
			x := view.Connection{Protocol: fd.Proto, State: state, PID: n.PID, UID: -1, LocalPort: fd.LocalPort}
			if fd.Listen {
				x.LocalAddr = view.Join(fd.Peer, fd.Port)
			} else {
				x.RemoteAddr = view.Join(fd.Peer, fd.Port)
			}
			if p := c.scene.Table.Get(n.PID); p != nil {
				x.UID = p.UID
			}
			out = append(out, x)
		}
	}
	return out
}
