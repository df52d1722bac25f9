package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/evidence"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/trail"
	"github.com/code-on-incus/coi/pkg/run"
)

func (b *bench) group() *cgroup.Group {
	b.t.Helper()
	g, err := b.layout.Open(cgroup.PayloadName("", b.name))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(g.Close)
	return g
}

// R-MON-12, T-W-16: both switches, for findings of processes and of the firewall.
func TestSwitches(t *testing.T) {
	for _, tt := range []struct {
		pause, kill      bool
		level            string
		frozen, killed   bool
		fromTheGuardsOwn bool
	}{
		{true, true, "high", true, false, false},
		{false, true, "high", false, false, false},
		{true, true, "critical", true, true, false},
		{true, false, "critical", true, false, false},
		{false, false, "critical", false, false, false},
		{true, true, "high", true, false, true},
		{false, true, "high", false, false, true},
		{true, false, "critical", true, false, true},
		{true, true, "critical", true, true, true},
	} {
		t.Run(fmt.Sprintf("pause=%v kill=%v %s guard=%v", tt.pause, tt.kill, tt.level, tt.fromTheGuardsOwn), func(t *testing.T) {
			b := newBench(t, "watchd-switch")
			b.create()
			b.want(func(w *run.Watch) { w.Settings.AutoPauseOnHigh, w.Settings.AutoKillOnCritical = tt.pause, tt.kill })
			g := b.group()
			if tt.fromTheGuardsOwn {
				b.enter("sleep 1000")
				b.sees("1000")
				b.guardSays(`{"v":1,"seq":9,"source":"guard","level":"` + tt.level + `","rule":"dns.tunnel","title":"data in names"}`)
			} else {
				b.enter("/bin/true evil-" + tt.level + "; sleep 1000")
			}
			b.recorded("finding", func(rule, _ string) bool { return rule == "test."+tt.level || rule == "dns.tunnel" })
			switch {
			case tt.killed:
				b.status("killed", func(s run.WatchStatus) bool { return s.Killed != nil })
			case tt.frozen:
				b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
				if !g.Frozen() {
					t.Error("the cgroup is not frozen")
				}
			default:
				if g.Frozen() {
					t.Error("the cgroup is frozen")
				}
			}
		})
	}
}

func (b *bench) guardSays(line string) {
	b.t.Helper()
	f, err := os.OpenFile(b.home.Audit(b.name+".jsonl"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(line + "\n"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) recorded(what string, ok func(rule, action string) bool) {
	b.t.Helper()
	eventually(b.t, "record: "+what, func() bool {
		b.trail.mu.Lock()
		defer b.trail.mu.Unlock()
		for _, r := range b.trail.records {
			if ok(r.Rule, r.Action) {
				return true
			}
		}
		return false
	})
}

// T-W-05: 500 processes, a storm of vforks, then a thaw by hand.
func TestFreezeOfABusyContainer(t *testing.T) {
	b := newBench(t, "watchd-busy")
	b.create()
	b.want(nil)
	b.enter("for i in $(seq 500); do sleep 1000 & done; while :; do /bin/true; done & while :; do :; done & /bin/true ready; wait")
	b.sees("ready")
	b.enter("/bin/true evil-high; sleep 1000")
	g := b.group()
	b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	b.status("frozen for good", func(s run.WatchStatus) bool { return g.Frozen() && !slices.Contains(s.Problems, notYet) })
	for _, dir := range b.dirs() {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
		_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	}
	b.status("thaw by hand seen", func(s run.WatchStatus) bool { return s.Frozen == nil })
	b.enter("/bin/true evil-high; sleep 1000")
	b.status("frozen again", func(s run.WatchStatus) bool { return s.Frozen != nil })
}

// R-MON-03, T-W-06: a trail that cannot be written delays nothing.
func TestFreezeDoesNotWaitForTheTrail(t *testing.T) {
	b := newBench(t, "watchd-disk")
	b.stop()
	broken := trail.New(b.home, testLog{t})
	if err := os.MkdirAll(filepath.Join(b.home.Audit(b.name+".jsonl"), "in-the-way"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.custom = broken
	b.start()
	t.Cleanup(broken.Close)
	b.create()
	b.want(nil)
	g := b.group()
	began := time.Now()
	b.enter("/bin/true evil-high; sleep 1000")
	eventually(t, "frozen", g.Frozen)
	if took := time.Since(began); took > time.Second {
		t.Errorf("frozen after %v", took)
	}
}

// R-MON-04, T-W-07: a flood in one container hides nothing of another.
func TestFloodDoesNotHideTheNeighbour(t *testing.T) {
	b := newBench(t, "watchd-flood")
	b.create()
	b.want(nil)
	quiet := &bench{t: t, home: b.home, name: "watchd-quiet", layout: b.layout, trail: b.trail, stop: func() {}}
	t.Cleanup(quiet.destroy)
	quiet.create()
	quiet.want(nil)
	b.enter("while :; do (:); (:); (:); (:); done & while :; do (:); (:); (:); done & while :; do (:); done")
	eventually(t, "flood runs", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.events) > 1000 })
	quiet.enter("/bin/true evil-high; sleep 1000")
	quiet.status("the neighbour's single event", func(s run.WatchStatus) bool { return s.Frozen != nil })
	if s := b.status("flood", func(run.WatchStatus) bool { return true }); s.Frozen != nil && s.FrozenTitle == "evil" {
		t.Errorf("the flood was taken for the neighbour: %+v", s)
	}
}

// T-W-14: a daemon that ends after the freeze finds the container frozen.
func TestRestartKeepsTheContainerFrozen(t *testing.T) {
	b := newBench(t, "watchd-again")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-high; sleep 1000")
	first := b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	g := b.group()
	b.stop()
	if !g.Frozen() {
		t.Fatal("the end of the daemon thawed the container")
	}
	if err := os.Remove(b.home.Run(b.name + run.WatchStatusFile)); err != nil {
		t.Fatal(err)
	}
	b.start()
	second := b.status("answer of the new daemon", func(s run.WatchStatus) bool { return s.Generation == first.Generation })
	if second.Frozen == nil || second.Frozen.Event != first.Frozen.Event {
		t.Errorf("frozen = %+v; want as before %+v", second.Frozen, first.Frozen)
	}
	b.want(func(w *run.Watch) { w.Thaw = 1 })
	b.status("thawed", func(s run.WatchStatus) bool { return s.Frozen == nil })
}

// T-W-14: killed between decision and freezer, the new daemon freezes.
func TestRestartFinishesTheFreeze(t *testing.T) {
	b := newBench(t, "watchd-late")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-high; sleep 1000")
	b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	g := b.group()
	b.stop()
	for _, dir := range b.dirs() {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
		_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	}
	eventually(t, "thawed behind its back", func() bool { return !g.Frozen() })
	b.start()
	eventually(t, "frozen by the new daemon", g.Frozen)
}

// R-MON-11: the same name again starts clean.
func TestNameIsUsedAgain(t *testing.T) {
	b := newBench(t, "watchd-name")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-critical; sleep 1000")
	b.status("killed", func(s run.WatchStatus) bool { return s.Killed != nil })
	b.destroy()
	b.inside = nil
	b.create()
	b.status("second life", func(s run.WatchStatus) bool { return s.Killed == nil })
	b.enter("/bin/true evil-high; sleep 1000")
	b.status("frozen in its second life, and not killed", func(s run.WatchStatus) bool { return s.Frozen != nil && s.Killed == nil })
}

// R-OWN-07: evidence is kept, for its owner alone, with nothing executable.
func TestEvidence(t *testing.T) {
	b := newBench(t, "watchd-evid")
	b.create()
	b.want(nil)
	b.enter("/bin/true evil-high; sleep 1000")
	s := b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	dir := b.home.Path(evidence.Folder(b.name, s.Frozen.Event))
	eventually(t, "evidence", func() bool { return exists(filepath.Join(dir, "SHA256SUMS")) })
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode of %s = %v, %v; want 0700", dir, st.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if in, err := e.Info(); err != nil || in.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s = %v, %v; want 0600", e.Name(), in.Mode(), err)
		}
	}
	for _, want := range []string{"finding.json", "processes.json", "SHA256SUMS"} {
		if !slices.Contains(names, want) {
			t.Errorf("evidence = %v; want %s among it", names, want)
		}
	}
}

// T-W-08: two megabytes of arguments, and a name full of control characters.
func TestHostileNames(t *testing.T) {
	b := newBench(t, "watchd-names")
	b.create()
	b.want(nil)
	dir := t.TempDir()
	odd := filepath.Join(dir, "a) \x1b[31m\nb(")
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(odd, data, 0o755); err != nil {
		t.Fatal(err)
	}
	b.enter("'" + odd + "' odd-name; /bin/true $(seq 1 250000 | head -c 1900000 | tr '\\n' ' ' | head -c 120000) end; /bin/true evil-high; sleep 1000")
	b.sees("odd-name")
	b.status("still judging", func(s run.WatchStatus) bool { return s.Frozen != nil })
	b.mu.Lock()
	defer b.mu.Unlock()
	cut := false
	for _, ev := range b.events {
		cut = cut || ev.ArgvCut && len(strings.Join(ev.Argv, " ")) <= 4096
	}
	if !cut {
		t.Error("no event says that its arguments were cut")
	}
}

// T-W-01: nothing is lost of processes that live a fraction of a millisecond.
func TestShortLivesAreAllSeen(t *testing.T) {
	const n = 1000
	b := newBench(t, "watchd-short")
	b.create()
	b.want(nil)
	b.enter(fmt.Sprintf("i=0; while [ $i -lt %d ]; do /bin/true unique-$i; i=$((i+1)); done; /bin/true all-done; sleep 1000", n))
	deadline := time.Now().Add(60 * time.Second)
	for {
		b.mu.Lock()
		seen, done := map[string]bool{}, false
		for _, ev := range b.events {
			if len(ev.Argv) == 2 && strings.HasPrefix(ev.Argv[1], "unique-") {
				seen[ev.Argv[1]] = true
			}
			done = done || slices.Contains(ev.Argv, "all-done")
		}
		b.mu.Unlock()
		if done {
			if len(seen) != n {
				t.Errorf("%d of %d programs seen", len(seen), n)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the programs did not end within a minute")
		}
		_ = exec.Command("true").Run() // the machine gets a moment
	}
}

// T-W-12: without eBPF processes are still judged, and the status says what is lost.
func TestFallbacks(t *testing.T) {
	for _, tier := range []string{TierConnector, TierScan} {
		t.Run(tier, func(t *testing.T) {
			b := newBench(t, "watchd-"+tier)
			b.stop()
			b.tier = tier
			b.start()
			b.create()
			b.want(nil)
			b.enter("exec -a evil-high sleep 1000")
			s := b.status("answer", func(s run.WatchStatus) bool { return s.Armed })
			if !slices.Contains(s.Sources, "exec:"+tier) {
				t.Errorf("sources = %v; want exec:%s", s.Sources, tier)
			}
			b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
		})
	}
}
