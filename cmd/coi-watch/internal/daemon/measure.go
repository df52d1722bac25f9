package daemon

import (
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
)

// latency keeps how long the last execs took from the kernel to the verdict.
type latency struct {
	last [1024]time.Duration
	n    int
}

func (l *latency) add(mono int64) {
	if mono == 0 {
		return
	}
	l.last[l.n%len(l.last)] = now() - time.Duration(mono)
	l.n++
}

// total is how many execs were judged.
func (l *latency) total() uint64 { return uint64(l.n) }

// percentiles returns the median and the 99th percentile; zero without any.
func (l *latency) percentiles() (p50, p99 time.Duration) {
	n := min(l.n, len(l.last))
	if n == 0 {
		return 0, 0
	}
	sorted := slices.Clone(l.last[:n])
	slices.Sort(sorted)
	return sorted[n/2], sorted[n*99/100]
}

// now is CLOCK_MONOTONIC, the clock of the kernel side. It is that of the
// runtime too, which reads it without a system call.
func now() time.Duration { return beganAt + time.Since(began) }

var began, beganAt = time.Now(), func() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}()

// losses remembers what of the losses was told already.
type losses struct {
	told uint64
	at   time.Time
}

// sameStatus compares what a reader of the status file would see.
func sameStatus(a, b run.WatchStatus) bool { return reflect.DeepEqual(a, b) }

// sameJudgement reports whether two wanted states are judged alike.
func sameJudgement(a, b run.Watch) bool {
	a.Generation, a.Thaw, a.Endcheck, a.Deadline, a.Immutable, a.Mounts = b.Generation, b.Thaw, b.Endcheck, b.Deadline, b.Immutable, b.Mounts
	return reflect.DeepEqual(a, b)
}
