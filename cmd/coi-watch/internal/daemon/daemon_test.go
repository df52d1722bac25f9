package daemon

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/redact"
	"github.com/code-on-incus/coi/pkg/run"
)

// wordJudge finds what is told to it on the command line.
type wordJudge struct {
	mu  *sync.Mutex
	all *[]event.Event
}

func (j wordJudge) Process(ev event.Event) []detect.Finding {
	j.mu.Lock()
	*j.all = append(*j.all, ev)
	j.mu.Unlock()
	for _, l := range coi.Levels {
		if ev.Type == event.Exec && slices.Contains(ev.Argv, "evil-"+string(l)) {
			return []detect.Finding{{Rule: "test." + string(l), Level: l, Title: "evil", PID: ev.PID}}
		}
	}
	return nil
}
func (wordJudge) Problems() []string   { return nil }
func (wordJudge) Hits() map[string]int { return map[string]int{"test.word": 3} }
func (wordJudge) Reload() error        { return nil }
func (wordJudge) Forget()              {}

// memTrail keeps records.
type memTrail struct {
	mu      sync.Mutex
	records []audit.Record
}

func (m *memTrail) Put(_ string, r audit.Record) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, r)
	return r.ID
}
func (*memTrail) Watch(run.Watch)                  {}
func (*memTrail) Drop(string)                      {}
func (*memTrail) Redactor(string) *redact.Redactor { return nil }

type names struct{}

func (names) ClassOf(name string) string {
	if name == "sh" || name == "bash" || name == "dash" {
		return "shell"
	}
	return ""
}
func (names) Canonical(name string) string { return name }
func (names) Known() []string              { return []string{"bash", "sh"} }

// bench is a daemon and the cgroups of a container that is not one.
type bench struct {
	t      *testing.T
	home   home.Home
	trail  *memTrail
	mu     sync.Mutex
	events []event.Event
	name   string
	layout cgroup.Layout
	d      *Daemon
	stop   func()
	inside []*exec.Cmd
	custom Trail // instead of the one in memory
	tier   string
	real   func(engine.Config) Judge // instead of the judge of words
}

func newBench(t *testing.T, name string) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "coi-watch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removed(t, dir) })
	b := &bench{t: t, home: home.Home{Dir: dir, User: dir, UID: os.Geteuid(), Custom: dir}, trail: &memTrail{}, name: name}
	if b.layout, err = cgroup.Detect(); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(func() { b.stop(); b.destroy() })
	return b
}

// removed takes the home away once the last evidence is written: that goes on
// beside the end of the daemon.
func removed(t *testing.T, dir string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		err := os.RemoveAll(dir)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Error(err)
			return
		}
	}
}

func (b *bench) start() {
	var records Trail = b.trail
	if b.custom != nil {
		records = b.custom
	}
	o := Options{Home: b.home, Tier: b.tier, Names: names{}, Trail: records, Version: "test", Log: testLog{b.t}, NewJudge: func(engine.Config) Judge { return wordJudge{&b.mu, &b.events} }}
	if b.real != nil {
		o.NewJudge, o.Names = b.real, realNames{}
	}
	d := New(o)
	b.d = d
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("daemon: %v", err)
		}
		b.stop = func() {}
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (b *bench) dirs() []string {
	out := []string{filepath.Join(b.layout.Unified, cgroup.PayloadName("", b.name))}
	if f := b.layout.V1["freezer"]; f != "" {
		out = append(out, filepath.Join(f, cgroup.PayloadName("", b.name)))
	}
	return out
}

// create makes the cgroups that liblxc would make.
func (b *bench) create() {
	b.t.Helper()
	dirs := b.dirs()
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := os.Mkdir(dirs[i], 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) destroy() {
	for _, dir := range b.dirs() {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	}
	for _, cmd := range b.inside { // only now: what is frozen does not die
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for _, dir := range b.dirs() {
		eventually(b.t, "cgroup removed", func() bool { return os.Remove(dir) == nil || !exists(dir) })
	}
}

func exists(p string) bool { _, err := os.Stat(p); return err == nil }

// enter starts a shell script inside the cgroups.
func (b *bench) enter(script string) *exec.Cmd {
	b.t.Helper()
	var head strings.Builder
	for _, dir := range b.dirs() {
		head.WriteString("echo $$ > " + dir + "/cgroup.procs; ")
	}
	cmd := exec.Command("bash", "-c", head.String()+script)
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.inside = append(b.inside, cmd)
	return cmd
}

func (b *bench) want(f func(*run.Watch)) {
	b.t.Helper()
	path := b.home.Run(b.name + run.WatchFile)
	var w run.Watch
	_ = run.Read(path, &w)
	w.SchemaVersion, w.Container = run.Schema, b.name
	w.Settings.AutoPauseOnHigh, w.Settings.AutoKillOnCritical = true, true
	w.Generation++
	if f != nil {
		f(&w)
	}
	if _, err := b.home.Ensure(b.home.Run()); err != nil {
		b.t.Fatal(err)
	}
	if err := run.Write(path, w); err != nil {
		b.t.Fatal(err)
	}
	b.status("generation answered", func(s run.WatchStatus) bool { return s.Generation == w.Generation })
}

func (b *bench) status(what string, ok func(run.WatchStatus) bool) run.WatchStatus {
	b.t.Helper()
	var s run.WatchStatus
	eventually(b.t, what, func() bool {
		s = run.WatchStatus{} // a field that is absent now must not keep its old value
		return run.Read(b.home.Run(b.name+run.WatchStatusFile), &s) == nil && ok(s)
	})
	return s
}

// patience is how long anything may take: nothing here is a measurement, and two
// cores that build at the same time are slow.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func (b *bench) sees(word string) {
	b.t.Helper()
	eventually(b.t, "exec of "+word, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.events, func(e event.Event) bool { return e.Type == event.Exec && slices.Contains(e.Argv, word) })
	})
}

func TestArmedBeforeTheContainerExists(t *testing.T) {
	b := newBench(t, "watchd-early")
	b.want(nil)
	s := b.status("armed", func(s run.WatchStatus) bool { return s.Armed })
	if !slices.Contains(s.Sources, "exec:ebpf") {
		t.Errorf("sources = %v; want exec:ebpf among them", s.Sources)
	}
	b.create()
	b.enter("/bin/true hello-there")
	b.sees("hello-there")
}

// R-MON-02: no sticky paused state.
func TestHighFreezesAndFreezesAgainAfterThaw(t *testing.T) {
	b := newBench(t, "watchd-high")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-high; while :; do :; done")
	g, err := b.layout.Open(cgroup.PayloadName("", b.name))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	if !g.Frozen() {
		t.Error("status says frozen, the cgroup does not")
	}
	var hold run.Hold
	if err := run.Read(b.home.Run(b.name+run.NetHoldFile), &hold); err != nil || !hold.Hold {
		t.Errorf("network hold = %+v, %v; want hold", hold, err)
	}
	b.want(func(w *run.Watch) { w.Thaw = 1 })
	b.status("thawed", func(s run.WatchStatus) bool { return s.Thaw == 1 && s.Frozen == nil })
	if g.Frozen() {
		t.Error("still frozen after the thaw")
	}
	if err := run.Read(b.home.Run(b.name+run.NetHoldFile), &hold); err != nil || hold.Hold {
		t.Errorf("network hold after the thaw = %+v, %v; want none", hold, err)
	}
	b.enter("/bin/true evil-high")
	b.status("frozen again", func(s run.WatchStatus) bool { return s.Frozen != nil })
}

func TestCriticalKills(t *testing.T) {
	b := newBench(t, "watchd-crit")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-critical; sleep 1000")
	b.status("killed", func(s run.WatchStatus) bool { return s.Killed != nil })
	g, err := b.layout.Open(cgroup.PayloadName("", b.name))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	eventually(t, "no process left", func() bool { return !g.Populated() })
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
