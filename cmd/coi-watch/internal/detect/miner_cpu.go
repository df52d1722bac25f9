package detect

import (
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var minerCPU = Detector{
	ID: "miner.cpu", Level: coi.Warning, Wants: []event.Type{event.Counter},
	Title: "processor busy for long beside one thin connection",
	Why:   "all processors are used for minutes by one tree that also keeps a connection open",
	// The counters bring n.cpu_cores of the tree and n.cores, and where descriptors
	// can be read n.flow_s and n.flow_bytes of its longest connection to outside;
	// the tracker keeps the time. It is said again each ten minutes.
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Op != "cpu" || v.Hot() < minerTime || v.Hot()%minerTime >= time.Duration(max(ev.N["interval_s"], 1)*float64(time.Second)) {
			return nil
		}
		if p := v.Proc(); p.Role != "" || oneOf(string(p.Class), worker...) || v.Under(program.Compiler, program.Build, program.Package) {
			return nil
		}
		age, told := ev.N["flow_s"]
		if told && (age < minerFlow.Seconds() || ev.N["flow_bytes"] > age*thin) || !told && !v.Outbound() {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "processors busy for ten minutes beside a connection to outside", PID: ev.PID})
	},
	Fire: []Sample{{Level: coi.Warning, Events: busySample("/tmp/a", 600, 600, 1e5)}, {Level: coi.Warning, Events: busySample("/tmp/a", 1201, -1, 0)}},
	Quiet: []Sample{
		{Events: busySample("/usr/bin/cargo", 600, 600, 1e5)},
		{Events: busySample("/usr/bin/python3", 600, 600, 1e5)},
		{Events: busySample("/tmp/a", 60, 60, 1e3)},
		{Events: busySample("/tmp/a", 600, 0, 0)},
		{Events: busySample("/tmp/a", 600, 600, 1e9)},
	},
}

const (
	minerTime = 10 * time.Minute
	minerFlow = 9 * time.Minute
	thin      = 16 << 10 // bytes a second
)

// worker are the classes of programs that use all processors by their purpose;
// an interpreter may train or test something.
var worker = []string{
	string(program.Compiler), string(program.Build), string(program.Package), string(program.Interpreter), string(program.Database), string(program.Archiver), string(program.Runtime), string(program.Search),
}

// busySample is a program that connects out and then uses all processors for
// some seconds. flow below zero: nobody knows its connections.
func busySample(exe string, seconds int64, flow, bytes float64) []event.Event {
	const second = int64(time.Second)
	full := func() map[string]float64 { return map[string]float64{"cpu_cores": 3.9, "cores": 4, "interval_s": 2} }
	last := full()
	if flow >= 0 {
		last["flow_s"], last["flow_bytes"] = flow, bytes
	}
	return []event.Event{
		{Type: event.Exec, PID: 4, PPID: 1, Mono: second, Exe: exe, Argv: []string{exe}},
		{Type: event.Connect, PID: 4, Mono: 2 * second, Exe: exe, Peer: "203.0.113.9", Port: 443, Dir: "out"},
		{Type: event.Counter, Op: "cpu", PID: 4, Mono: 3 * second, N: full()},
		{Type: event.Counter, Op: "cpu", PID: 4, Mono: (3 + seconds) * second, N: last},
	}
}
