// Package daemon is coi-watch at work: it reads from ~/.coi/run what is to be
// watched, feeds what the sensors say to the judge of each container, and
// answers what is hostile. Each container is one goroutine that owns all of
// its state; a storm in one costs the others nothing.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/allow"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/flags"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Judge turns events into findings; package engine is the real one.
type Judge interface {
	Process(ev event.Event) []detect.Finding
	Problems() []string
	Hits() map[string]int // findings by rule
	Reload() error
	Forget() // what was said once may be said again
}

// Options are what the daemon is made with.
type Options struct {
	Home     home.Home
	Names    scene.Names
	NewJudge func(engine.Config) Judge
	Trail    Trail
	Log      io.Writer // one line an event of the service itself
	Version  string
	DryRun   bool   // judge and record, act on nothing
	Tier     string // begin with this tier of the process sensor; empty: the best
	Once     bool   // one pass, then end
	Confine  bool   // give up the right to start programs, for the whole process and for good
}

// Daemon watches the containers of one user.
type Daemon struct {
	Options
	layout cgroup.Layout
	source source
	files  *fileSensor
	allow  *allowed
	wiring bool   // descriptors can be read
	weak   string // why the sensors in force are no real watch; empty: they are
	since  time.Time
	looked map[string]os.FileInfo // wanted files that were read, of the loop alone
	sums   scene.Sums             // of the programs of images

	mu         sync.Mutex
	containers map[string]*container
	slots      [slots]*container
	problems   []string
	freezer    Freezer
	off        map[string]string // sensors that failed and what is not seen meanwhile
	reloaded   int
}

// New returns a daemon that has done nothing yet.
func New(o Options) *Daemon {
	return &Daemon{Options: o, containers: map[string]*container{}, looked: map[string]os.FileInfo{}, since: time.Now().UTC(), allow: &allowed{list: allow.NewList(o.Home)}}
}

// Run watches until the context ends. It fails when another daemon of this
// user runs, or when nothing could be seen at all.
func (d *Daemon) Run(ctx context.Context) error {
	if _, err := d.Home.Ensure(d.Home.Run()); err != nil {
		return err
	}
	lock, err := home.TryLock(d.Home.Run(run.WatchLock))
	if err != nil {
		return fmt.Errorf("another coi-watch runs: %w", err)
	}
	defer lock.Unlock()
	if d.layout, err = cgroup.Detect(); err != nil {
		return err
	}
	d.source = openSource(d)
	defer d.source.close()
	debug.SetGCPercent(50) // memory before processor: most of the time nothing happens
	if err := d.openFiles(); err != nil {
		return err
	}
	defer d.files.Close()
	if d.Confine {
		if err := denyExec(); err != nil {
			d.problems = append(d.problems, "execve not denied: "+err.Error())
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { d.keep(ctx, d.source.sensor()) })
	wg.Go(func() { d.keep(ctx, d.files.sensor()) })
	d.freezer = tryFreezer(ctx, d.layout)
	d.logf("watching as %d: %s", os.Getpid(), strings.Join(d.names(), " "))
	d.beat()
	err = d.loop(ctx, &wg)
	stop()
	d.source.close()
	d.files.Close()
	wg.Wait()
	return err
}

// names lists the sensors in force, each with its tier.
func (d *Daemon) names() []string {
	out := append([]string{}, d.source.names()...)
	out = append(out, "file:"+d.files.tier)
	counters := "counters:v2"
	if len(d.layout.V1) > 0 {
		counters = "counters:v1"
	}
	if d.wiring {
		out = append(out, "fds:proc")
	}
	return append(out, "mounts:poll", counters, "auth:log", "net:guard")
}

func (d *Daemon) loop(ctx context.Context, wg *sync.WaitGroup) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	defer func() { _ = w.Close() }()
	if _, err := d.Home.Ensure(d.Home.Audit()); err != nil {
		return err
	}
	for _, dir := range []string{d.Home.Run(), d.Home.Audit(), d.layout.Parent()} {
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	d.sweep()
	d.scan(ctx, wg)
	if d.Once {
		d.each(func(c *container) { c.do(ctx, (*container).poll) })
		d.beat()
		return nil
	}
	beat, rescan, minute := time.NewTicker(run.HeartbeatEvery), time.NewTicker(rescanEvery), time.NewTicker(time.Minute)
	defer beat.Stop()
	defer minute.Stop()
	defer rescan.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-w.Events:
			d.changed(ctx, wg, ev)
		case <-w.Errors:
			d.scan(ctx, wg) // the queue ran over: look at everything
		case <-beat.C:
			d.beat()
		case <-rescan.C:
			d.scan(ctx, wg)
		case <-minute.C:
			d.sweep()
			debug.FreeOSMemory() // what a storm took
		}
	}
}

// sweep takes back immutable flags of containers that are gone: after a crash,
// a power cut, or a daemon that was not there at the end.
func (d *Daemon) sweep() {
	if err := flags.Sweep(d.Home, d.lives); err != nil {
		d.logf("immutable flags: %v", err)
	}
}

// rescanEvery is the net under inotify.
const rescanEvery = 2 * time.Second

// changed is the fast path: one file of run/ or one cgroup.
func (d *Daemon) changed(ctx context.Context, wg *sync.WaitGroup, ev fsnotify.Event) {
	name := filepath.Base(ev.Name)
	switch {
	case filepath.Dir(ev.Name) == d.layout.Parent():
		d.each(func(c *container) {
			if c.payload == name {
				c.post(ctx, (*container).lookForGroup)
			}
		})
	case filepath.Dir(ev.Name) == d.Home.Audit():
		if c := d.container(strings.TrimSuffix(name, ".jsonl")); c != nil {
			c.nudge()
		}
	case strings.HasSuffix(name, run.WatchFile) && !ev.Has(fsnotify.Chmod):
		d.wanted(ctx, wg, strings.TrimSuffix(name, run.WatchFile))
	case name == run.WatchReloadFile:
		d.reload(ctx)
	}
}

func (d *Daemon) scan(ctx context.Context, wg *sync.WaitGroup) {
	names, err := run.Names(d.Home.Run(), run.WatchFile)
	if err != nil {
		d.logf("read %s: %v", d.Home.Run(), err)
	}
	for _, name := range names {
		if is, err := os.Lstat(d.Home.Run(name + run.WatchFile)); err != nil || !d.unchanged(name, is) {
			d.wanted(ctx, wg, name)
			d.looked[name] = is // before it was read: a change meanwhile is seen next time
		}
	}
	maps.DeleteFunc(d.looked, func(name string, _ os.FileInfo) bool { return !slices.Contains(names, name) })
	d.each(func(c *container) {
		if !slices.Contains(names, c.name) {
			d.wanted(ctx, wg, c.name)
		}
		c.post(ctx, (*container).lookForGroup)
	})
	d.reload(ctx)
}

// unchanged reports whether a wanted file is the one that was read before. Each
// change is a new file.
func (d *Daemon) unchanged(name string, is os.FileInfo) bool {
	was := d.looked[name]
	return was != nil && os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size() && d.container(name) != nil
}

// wanted applies the wanted file of one container. A missing file ends the
// watch once the container is gone; a bad one leaves the last good state.
func (d *Daemon) wanted(ctx context.Context, wg *sync.WaitGroup, name string) {
	var w run.Watch
	err := run.Read(d.Home.Run(name+run.WatchFile), &w)
	c := d.container(name)
	switch {
	case home.Missing(err) && c != nil:
		c.post(ctx, (*container).unwanted)
		return
	case err != nil && c == nil:
		if !home.Missing(err) {
			d.refuse(name, err)
		}
		return
	case err != nil:
		c.post(ctx, func(c *container) { c.complain(err) })
		return
	case w.Container != name:
		d.refuse(name, fmt.Errorf("names another container"))
		return
	}
	if c == nil {
		if c = d.add(ctx, wg, w); c == nil {
			d.refuse(name, errors.New("too many containers"))
			return
		}
	}
	c.post(ctx, func(c *container) { c.want(w) })
}

// refuse answers a wanted file that cannot be obeyed.
func (d *Daemon) refuse(name string, err error) {
	st := run.WatchStatus{SchemaVersion: run.Schema, Container: name, Mounts: "unknown", Immutable: "off: not armed", Error: err.Error()}
	if werr := run.Write(d.Home.Run(name+run.WatchStatusFile), st); werr != nil {
		d.logf("%s: %v", name, werr)
	}
}

func (d *Daemon) container(name string) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers[name]
}

func (d *Daemon) add(ctx context.Context, wg *sync.WaitGroup, w run.Watch) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	slot := slices.Index(d.slots[:], nil)
	if slot < 0 {
		return nil
	}
	c := newContainer(d, w, uint32(slot))
	d.slots[slot], d.containers[w.Container] = c, c
	wg.Go(func() { c.run(ctx) })
	return c
}

// drop forgets a container that is gone.
func (d *Daemon) drop(c *container) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.containers[c.name] == c {
		delete(d.containers, c.name)
		d.slots[c.slot] = nil
	}
}

func (d *Daemon) each(f func(*container)) {
	d.mu.Lock()
	all := make([]*container, 0, len(d.containers))
	for _, c := range d.containers {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// atSlot is the container whose events carry that number, nil when it is gone.
func (d *Daemon) atSlot(slot int) *container {
	if slot < 0 || slot >= slots {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slots[slot]
}

// State is run/watch.json.
type State struct {
	run.Daemon
	Reload  int     `json:"reload"` // generation of the last watch.reload.json obeyed
	Freezer Freezer `json:"freezer"`
}

// Freezer is how the freezing and thawing of an empty group of our own went.
type Freezer struct {
	TriedAt time.Time `json:"tried_at"`
	US      int64     `json:"us"` // time it took, µs
	Error   string    `json:"error"`
}

func tryFreezer(ctx context.Context, l cgroup.Layout) Freezer {
	took, err := l.Try(ctx)
	f := Freezer{TriedAt: time.Now().UTC(), US: took.Microseconds()}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}

func (d *Daemon) beat() {
	d.mu.Lock()
	reloaded := d.reloaded
	d.mu.Unlock()
	problems := d.missing()
	pid := os.Getpid()
	st := State{
		Daemon: run.Daemon{
			SchemaVersion: run.Schema, PID: pid, StartTime: run.StartTime(pid), Version: d.Version, HeartbeatAt: time.Now().UTC(), Since: d.since,
			Sources: d.names(), Problems: problems, Weak: d.weak,
		},
		Reload: reloaded, Freezer: d.freezer,
	}
	if err := run.Write(d.Home.Run(run.WatchDaemonFile), st); err != nil {
		d.logf("heartbeat: %v", err)
	}
}

// Reload is run/watch.reload.json.
type Reload struct {
	SchemaVersion int    `json:"schema_version"`
	Generation    int    `json:"generation"`
	Dir           string `json:"dir,omitempty"`
}

func (d *Daemon) reload(ctx context.Context) {
	var r Reload
	if err := run.Read(d.Home.Run(run.WatchReloadFile), &r); err != nil || r.Generation == d.reloaded {
		return
	}
	d.each(func(c *container) { c.post(ctx, (*container).reload) })
	d.mu.Lock()
	d.reloaded = r.Generation
	d.mu.Unlock()
	d.beat()
}

func (d *Daemon) logf(format string, a ...any) {
	if d.Log != nil {
		_, _ = fmt.Fprintf(d.Log, "%s %s\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, a...))
	}
}
