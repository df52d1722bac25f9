// Package engine joins tracker, detectors and rule files: events in, findings out.
package engine

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Config says what is known about a container before its first event. All
// paths are inside paths, but the folders of rule files, which are the host's.
type Config struct {
	Container string
	Workspace string
	Home      string
	User      string
	Tool      []string // program of the agent and its arguments
	Locked    []string // locked and masked paths (escape.locked)
	Secrets   []string // monitored project secrets, patterns
	Allowed   []string // allowlist names (exfil.volume, exfil.file)

	// Settings of [monitoring], zero meaning the default.
	FileReadMB, FileReadRateMB  float64
	FileReadTrusted             bool // file_read_threshold_mb is set in a trusted file
	ProcessCount, SpawnRate     int  // -1: off
	UploadWarnMB, UploadHighMB  int
	PollSeconds                 int
	OneLiners                   string               // reverse_shell_one_liners
	Levels                      map[string]coi.Level // rule id to level
	SigmaDir, GTFODir, PatternD string               // host folders of rule files; empty: none
	Only                        string               // TestRules: name of the one rule file to test
	Rules                       *Rules               // rule files read before, for many engines; nil: read from the folders

	// Resolve names the program by the content of the file at an inside path, ""
	// if it is none of the image's. Read gives the text of a script, "" if it
	// cannot be read safely. Both may be nil.
	Resolve func(path string) string
	Read    func(path string) string
}

// Engine judges the events of one container. It is not safe for concurrent use.
type Engine struct {
	cfg    Config
	trk    *track.Tracker
	rules  *Rules
	wants  map[event.Type][]int // indexes into detect.All
	slow   map[int]int          // times a detector was too slow
	said   map[saidKey]saying   // findings by line
	hits   map[string]int
	faults []string
}

type saidKey struct {
	rule string
	pid  int
}

// saying is when something was said, and how gravely.
type saying struct {
	at   int64
	rank int
}

// slowest is how much of a processor one run of a detector may use before it is
// noted; three times switch it off. Time by the clock does not count: load that
// a container makes must not switch off what watches it, and neither must what
// it can write. 5 ms would be no such bound: for scripts of 64 KiB that packages
// install, or that anybody can make, sound detectors (run.decode, cred.token,
// shell.net-relay, shell.inline, run.pipe) use 6 to 21 ms of a slow processor, as
// the best of three runs, and processor time grows with the load beside it too.
const slowest = 100 * time.Millisecond

// New builds an engine. A broken rule file is no error; it is listed by Problems.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, wants: map[event.Type][]int{}, slow: map[int]int{}, said: map[saidKey]saying{}, hits: map[string]int{}}
	e.trk = track.New(track.Settings{
		Workspace: cfg.Workspace, Home: cfg.Home, User: cfg.User, Locked: cfg.Locked, Secrets: cfg.Secrets, Allowed: cfg.Allowed,
		FileReadMB: cfg.FileReadMB, FileReadRateMB: cfg.FileReadRateMB, FileReadTrusted: cfg.FileReadTrusted,
		ProcessCount: cfg.ProcessCount, SpawnRate: cfg.SpawnRate, UploadWarnMB: cfg.UploadWarnMB, UploadHighMB: cfg.UploadHighMB,
		PollSeconds: cfg.PollSeconds, OneLiners: cfg.OneLiners, Resolve: cfg.Resolve, Read: cfg.Read,
	})
	for i, d := range detect.All {
		for _, t := range d.Wants {
			e.wants[t] = append(e.wants[t], i)
		}
	}
	if e.rules = cfg.Rules; e.rules == nil {
		e.rules, _ = LoadRules(cfg)
	}
	return e
}

// Process takes one event into the state and returns what it means. The same
// rule about the same line is returned once. It never panics: a detector that
// does is reported as sensor.fault and leaves the rest alone.
func (e *Engine) Process(ev event.Event) []detect.Finding {
	v, ok := e.apply(ev)
	if !ok {
		return []detect.Finding{fault(ev, "an event could not be taken in")}
	}
	start := time.Now()
	found, ok := e.together(ev, v)
	if !ok || time.Since(start) > slowest {
		found = e.oneByOne(ev, v)
	}
	found = append(found, e.rules.match(ev, v)...)
	if len(found) > 0 {
		found = e.settle(ev, found)
		found = append(found, e.combine(ev, found)...)
	}
	e.note(ev, found)
	return found
}

// together runs all detectors without looking at any of them; ok is false when
// one panicked.
func (e *Engine) together(ev event.Event, v track.View) (found []detect.Finding, ok bool) {
	defer func() {
		if recover() != nil {
			found, ok = nil, false
		}
	}()
	for _, i := range e.wants[ev.Type] {
		if out := detect.All[i].Detect(ev, v); out != nil {
			found = append(found, signed(i, out)...)
		}
	}
	return found, true
}

// oneByOne runs the detectors again, each by itself, to find out which of them
// failed or took so long. They are pure: they find what they found before.
func (e *Engine) oneByOne(ev event.Event, v track.View) []detect.Finding {
	runtime.LockOSThread() // used counts for the thread
	defer runtime.UnlockOSThread()
	var found []detect.Finding
	for _, i := range slices.Clone(e.wants[ev.Type]) {
		found = append(found, e.run(i, ev, v)...)
	}
	return found
}

func (e *Engine) apply(ev event.Event) (v track.View, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return e.trk.Apply(ev), true
}

// run is one detector on one event, watched.
func (e *Engine) run(i int, ev event.Event, v track.View) (out []detect.Finding) {
	d := detect.All[i]
	start := used()
	defer func() {
		if r := recover(); r != nil {
			out = []detect.Finding{fault(ev, "detector "+d.ID+" failed")}
		}
		out = append(out, e.spent(i, used()-start, ev)...)
	}()
	return signed(i, d.Detect(ev, v))
}

// spent counts what a detector used: the first time it was too much is told, the
// third ends it.
func (e *Engine) spent(i int, took time.Duration, ev event.Event) []detect.Finding {
	if took <= slowest {
		return nil
	}
	e.slow[i]++
	switch e.slow[i] {
	case 1:
		return []detect.Finding{fault(ev, fmt.Sprintf("detector %s took %d ms for one event", detect.All[i].ID, took.Milliseconds()))}
	case 3:
		e.switchOff(i)
		return []detect.Finding{fault(ev, "detector "+detect.All[i].ID+" was too slow three times and is off")}
	}
	return nil
}

func (e *Engine) switchOff(i int) {
	for t, list := range e.wants {
		e.wants[t] = slices.DeleteFunc(slices.Clone(list), func(k int) bool { return k == i })
	}
	e.faults = append(e.faults, detect.All[i].ID+": switched off, too slow three times")
}

// signed puts the name of the detector, and its reason where the finding has
// none of its own, on what it found.
func signed(i int, out []detect.Finding) []detect.Finding {
	for k := range out {
		out[k].Rule = detect.All[i].ID
		if out[k].Why == "" {
			out[k].Why = detect.All[i].Why
		}
	}
	return out
}

// used is the processor time of this thread.
func used() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // cannot fail: the clock exists since Linux 2.6.12
	return time.Duration(ts.Nano())
}

// SensorFault is the rule of what went wrong in the monitor itself.
const SensorFault = "sensor.fault"

func fault(ev event.Event, text string) detect.Finding {
	return detect.Finding{Rule: SensorFault, Level: coi.Warning, Title: text, PID: ev.PID}
}

// settle applies the user's levels, drops what was said about the line before,
// and fills in the process.
func (e *Engine) settle(ev event.Event, found []detect.Finding) []detect.Finding {
	out := found[:0]
	for _, f := range found {
		if l, ok := e.cfg.Levels[f.Rule]; ok && l.Rank() >= 0 && l != coi.Critical {
			f.Level = l
		}
		if f.PID == 0 {
			f.PID = ev.PID
		}
		if ev.Setup && f.Level.Rank() < coi.Critical.Rank() {
			f.Level = coi.Info // nobody inside can make a process of root whose parent is outside
		}
		f.Title = short(f.Title, 120)
		if e.repeated(ev, f) {
			continue
		}
		e.hits[f.Rule]++
		out = append(out, f)
	}
	return out
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// lineTime is how long the parts of one line are taken together.
const lineTime = int64(30 * time.Second)

// repeated reports a finding whose rule was already found for the line that
// this process is part of: the shell that a parent predicted it from.
func (e *Engine) repeated(ev event.Event, f detect.Finding) bool {
	if ev.Type != event.Exec {
		return false
	}
	for _, a := range e.trk.Parents(ev.PID) {
		if s, ok := e.said[saidKey{f.Rule, a}]; ok && e.trk.Now()-s.at <= lineTime && s.rank >= f.Level.Rank() {
			return true // what was said less gravely does not hide this
		}
	}
	return false
}

// note remembers what later events are judged by.
func (e *Engine) note(ev event.Event, found []detect.Finding) {
	for _, f := range found {
		if ev.Type == event.Exec {
			if len(e.said) > 4096 {
				clear(e.said)
			}
			e.said[saidKey{f.Rule, ev.PID}] = saying{e.trk.Now(), f.Level.Rank()}
		}
		if f.Level != coi.Info {
			e.trk.Note(ev.PID, track.Mark{Kind: "finding", Rule: f.Rule, Level: f.Level, Path: f.Path, Host: f.Host})
		}
	}
	switch ev.Type {
	case event.Write, event.Create, event.Rename:
		p := ev.Path
		if ev.Type == event.Rename {
			p = ev.Path2
		}
		if e.trk.ClassOf(ev.PID, ev.Exe) == program.Downloader {
			e.trk.Note(ev.PID, track.Mark{Kind: "fetch", Path: p})
		}
	case event.Connect:
		if ev.Dir != "in" && track.Outside(ev.Peer) {
			e.trk.Note(ev.PID, track.Mark{Kind: "connect", Host: ev.Peer})
		}
	}
}

// combine makes a finding of level high of two warnings that belong together.
func (e *Engine) combine(ev event.Event, found []detect.Finding) []detect.Finding {
	var out []detect.Finding
	marks := e.trk.Marks(ev.PID, "finding")
	for _, f := range found {
		if f.Level != coi.Warning {
			continue
		}
		for _, m := range marks {
			if rule := pair(m.Rule, f.Rule); rule != "" {
				out = append(out, detect.Finding{
					Rule: rule, Level: coi.High, Title: short(fmt.Sprintf("%s and then %s in one process tree", m.Rule, f.Rule), 120),
					Why: "each alone is a warning; together they are the steps of an attack", PID: ev.PID, Path: f.Path, Host: f.Host, Command: f.Command,
				})
				e.hits[rule]++
				return out
			}
		}
	}
	return out
}

func pair(a, b string) string {
	for _, c := range detect.Combos {
		if strings.HasPrefix(a, c[0]) && strings.HasPrefix(b, c[1]) || strings.HasPrefix(a, c[1]) && strings.HasPrefix(b, c[0]) {
			return "combo." + a + "+" + b
		}
	}
	return ""
}

// Forget drops findings, counters and what was said, after a thaw: the next
// high freezes again.
func (e *Engine) Forget() {
	e.trk.Forget()
	clear(e.said)
}

// Hits counts the findings by rule since the engine was made.
func (e *Engine) Hits() map[string]int { return e.hits }

// Problems lists rule files and detectors that are not in force, with the reason.
func (e *Engine) Problems() []string {
	return append(append([]string(nil), e.faults...), e.rules.problems()...)
}

// Reload reads the rule files again; the old set stays when that fails.
func (e *Engine) Reload() error {
	set, err := LoadRules(e.cfg)
	if err != nil {
		return err
	}
	e.rules = set
	return nil
}
