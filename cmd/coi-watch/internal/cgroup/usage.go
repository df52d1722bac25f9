package cgroup

import (
	"bytes"
	"math"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is what a group has used. What no controller tells is zero.
type Usage struct {
	CPU          uint64 // ns since the group was made
	Memory       uint64 // bytes
	MaxMemory    uint64 // 0: no limit
	OOM          uint64 // processes killed for lack of memory
	Processes    int    // tasks
	MaxProcesses int    // 0: no limit
	cpus         int
}

// Cores is the number of processors that the group may use.
func (u Usage) Cores() float64 {
	if u.cpus > 0 {
		return float64(u.cpus)
	}
	return float64(runtime.NumCPU())
}

// Usage reads the counters of whichever hierarchy has them.
func (g *Group) Usage() Usage {
	var u Usage
	v2 := func(name string) string { return small(filepath.Join(g.Dir, name)) }
	v1 := func(controller, name string) string {
		if dir := g.V1[controller]; dir != "" {
			return small(filepath.Join(dir, name))
		}
		return ""
	}
	u.CPU, _ = g.CPU()
	u.Memory = number(first(v1("memory", "memory.usage_in_bytes"), v2("memory.current")))
	u.MaxMemory = limit(first(v1("memory", "memory.limit_in_bytes"), v2("memory.max")))
	u.OOM = number(first(flag(v1("memory", "memory.oom_control"), "oom_kill"), flag(v2("memory.events"), "oom_kill")))
	u.Processes = int(number(first(v1("pids", "pids.current"), v2("pids.current"))))
	u.MaxProcesses = int(limit(first(v1("pids", "pids.max"), v2("pids.max"))))
	u.cpus = count(first(v1("cpuset", "cpuset.cpus"), v2("cpuset.cpus.effective")))
	return u
}

// CPU is the processor time of the group in ns; ok is false when nobody tells.
// While it stays the same nothing in the group ran.
func (g *Group) CPU() (ns uint64, ok bool) {
	if dir := g.V1["cpuacct"]; dir != "" {
		if text := small(filepath.Join(dir, "cpuacct.usage")); text != "" {
			return number(text), true
		}
	}
	text := flag(small(filepath.Join(g.Dir, "cpu.stat")), "usage_usec")
	return number(text) * 1000, text != ""
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// small is the text of a counter. It is read without the runtime's poller, in
// three system calls: a dozen containers have a hundred such files.
func small(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	var b [4096]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b[:n]))
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// limit is number, with what the kernel writes for "no limit" as zero.
func limit(s string) uint64 {
	n := number(s)
	if n > math.MaxInt64-(1<<20) {
		return 0
	}
	return n
}

// count is the number of processors in a list such as 0-3,6.
func count(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		a, b, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(strings.TrimSpace(a))
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(strings.TrimSpace(b)); err != nil || to < from || to-from > 1<<16 {
				continue
			}
		}
		n += to - from + 1
	}
	return n
}
