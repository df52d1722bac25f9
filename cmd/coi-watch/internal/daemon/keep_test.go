package daemon

import (
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/run"
)

func (b *bench) off(word string) func(run.WatchStatus) bool {
	return func(s run.WatchStatus) bool { return strings.Contains(strings.Join(s.Problems, "\n"), word+" is off") }
}

// R-REG-23: a sensor that fails is told about, in the trail, in the status and in
// the daemon's own state, is begun again, and tells as before.
func TestSensorThatFailsComesBack(t *testing.T) {
	b := newBench(t, "watchd-off")
	b.create()
	b.want(nil)
	b.enter("/bin/true before; sleep 1000")
	b.sees("before") // positive control
	b.d.source.(*bpfSource).kernel().Close()
	b.recorded("sensor.off", func(rule, action string) bool { return rule == "sensor.off" && action == "alerted" })
	b.status("told off", b.off("processes"))
	b.status("on again", func(s run.WatchStatus) bool { return !b.off("processes")(s) })
	b.enter("/bin/true after")
	b.sees("after")
	if s := b.status("alive", func(run.WatchStatus) bool { return true }); s.Frozen != nil || !s.Armed {
		t.Errorf("status = %+v; want armed and not frozen: a sensor begun anew counts from zero, which is no flood", s)
	}
}

// The same for the files, and with on_loss = "pause" a sensor that is off freezes.
func TestSensorThatFailsFreezesWhereThatIsWanted(t *testing.T) {
	b := newBench(t, "watchd-offp")
	b.create()
	b.want(func(w *run.Watch) { w.Settings.OnLoss = "pause" })
	g := b.group()
	b.enter("sleep 1000")
	b.sees("1000")
	b.d.files.Close()
	b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
	if !g.Frozen() {
		t.Error("the status says frozen, the cgroup does not")
	}
	b.status("on again", func(s run.WatchStatus) bool { return !b.off("files")(s) })
}

// R-REG-22: counters that went back, as after a restart, tell nothing.
func TestCountersThatWentBack(t *testing.T) {
	for _, tt := range []struct{ is, was, want uint64 }{{5, 3, 2}, {3, 3, 0}, {0, 9, 0}, {2, 1 << 63, 0}} {
		if got := since(tt.is, tt.was); got != tt.want {
			t.Errorf("since(%d, %d) = %d; want %d", tt.is, tt.was, got, tt.want)
		}
	}
}

// R-REG-22: a container that starts anew begins with counters at zero, and is
// quiet about it.
func TestRestartOfAContainerIsNoStorm(t *testing.T) {
	b := newBench(t, "watchd-reborn")
	b.create()
	b.want(func(w *run.Watch) { w.Settings.PollIntervalSec = 1 })
	b.enter("for i in $(seq 200); do /bin/true; done; sleep 1000")
	b.sees("1000")
	polled := func(what string) {
		n := b.count(func(n map[string]float64) bool { return n["interval_s"] > 0 })
		eventually(t, what, func() bool { return b.count(func(n map[string]float64) bool { return n["interval_s"] > 0 }) > n })
	}
	polled("counters read")
	b.destroy()
	b.inside = nil
	b.create()
	b.enter("sleep 1001")
	b.sees("1001")
	polled("counters read again")
	if n := b.count(func(n map[string]float64) bool { return n["forks"] > 1e6 || n["cpu_cores"] > 1e3 || n["oom"] > 0 }); n > 0 {
		t.Errorf("%d readings out of this world", n)
	}
}

// count is how many readings of the counters are so.
func (b *bench) count(ok func(map[string]float64) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.events {
		if e.PID == 0 && e.N != nil && ok(e.N) {
			n++
		}
	}
	return n
}
