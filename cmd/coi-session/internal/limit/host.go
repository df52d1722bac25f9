package limit

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Host is what limits are checked against.
type Host struct {
	CPUs        int
	Controllers map[string]bool // cgroup controllers by their v2 names
	SwapControl bool            // swap can be limited, or there is none
	Pool        string
	Driver      string // of the pool
	PoolDir     string // its directory on this host; needed for driver dir
	ImageBytes  int64  // smallest size the root disk can have; 0: not known
	LostCount   string // file system of a btrfs whose quota data are inconsistent
	UsedBytes   int64  // what a reused container holds now; 0: new or not known
}

// Probe reads CPUs and controllers of this machine.
func Probe() Host {
	h := probe("/sys/fs/cgroup", "/proc")
	h.LostCount = lostCount("/sys/fs/btrfs")
	return h
}

// lostCount names a btrfs that enforces no quota: it loses count when a large
// tree is deleted, and says so in qgroups/inconsistent (Linux 5.18 and later).
// Which pool lies on which file system is not visible to everybody, so one that
// lost count stands for all.
func lostCount(sys string) string {
	files, _ := filepath.Glob(filepath.Join(sys, "*", "qgroups", "inconsistent"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == "1" {
			return filepath.Base(filepath.Dir(filepath.Dir(f)))
		}
	}
	return ""
}

func probe(cgroup, proc string) Host {
	h := Host{CPUs: runtime.NumCPU(), Controllers: map[string]bool{}}
	if b, err := os.ReadFile(filepath.Join(cgroup, "cgroup.controllers")); err == nil {
		for c := range strings.FieldsSeq(string(b)) {
			h.Controllers[c] = true
		}
		h.SwapControl = h.Controllers["memory"]
	} else {
		h.v1(cgroup, proc)
	}
	if b, err := os.ReadFile(filepath.Join(proc, "swaps")); err == nil && strings.Count(string(b), "\n") <= 1 {
		h.SwapControl = true
	}
	return h
}

// v1 reads /proc/cgroups: name, hierarchy, number of cgroups, enabled.
func (h *Host) v1(cgroup, proc string) {
	b, err := os.ReadFile(filepath.Join(proc, "cgroups"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 4 && f[1] != "0" && f[3] == "1" {
			h.Controllers[strings.Replace(f[0], "blkio", "io", 1)] = true
		}
	}
	_, err = os.Stat(filepath.Join(cgroup, "memory", "memory.memsw.limit_in_bytes"))
	h.SwapControl = err == nil
}

// Check compares with the host. What a trusted scope asked for and cannot be
// had is an error with exit code 1 naming pool, driver or controller; what only
// a project asked for is a warning, to be shown again by info and list.
func (r *Result) Check(h Host) (warnings []string, err error) {
	var problems []string
	tell := func(key, text string) {
		if r.from.Trusted == nil || r.from.Trusted(key) {
			problems = append(problems, text)
		} else {
			warnings = append(warnings, text+" (asked for by the project; the session starts without it)")
		}
	}
	if n := cpusWanted(r.from.CPUCount); n > h.CPUs {
		problems = append(problems, fmt.Sprintf("limits.cpu.count = %q: this host has %d CPUs", r.from.CPUCount, h.CPUs))
	}
	for _, u := range r.used {
		if why := h.lacks(u.need); why != "" {
			tell(u.key, fmt.Sprintf("limits.%s cannot be enforced: %s", u.key, why))
			r.drop(u.key)
		}
	}
	if r.size > 0 && r.size < max(h.ImageBytes, h.UsedBytes) {
		what := "the image needs"
		if h.UsedBytes > h.ImageBytes {
			what = "the container holds"
		}
		problems = append(problems, fmt.Sprintf("limits.disk: the root disk would be %d bytes, but %s %d", r.size, what, max(h.ImageBytes, h.UsedBytes)))
	}
	if len(problems) == 0 {
		return warnings, nil
	}
	e := cli.Fail(coi.ExitFailed, "%s", problems[0])
	e.Lines = problems[1:]
	return warnings, e
}

// drop takes out what is not enforced, so that nothing pretends it is.
func (r *Result) drop(key string) {
	incus := map[string]string{
		"cpu.count": "limits.cpu", "cpu.allowance": "limits.cpu.allowance", "cpu.priority": "limits.cpu.priority",
		"memory.limit": "limits.memory", "memory.swap": "limits.memory.swap", "runtime.max_processes": "limits.processes",
		"disk.priority": "limits.disk.priority",
	}
	root := map[string][]string{"disk.size": {"size"}, "disk.max": {"size", "limits.max"}, "disk.read": {"limits.read"}, "disk.write": {"limits.write"}}
	delete(r.Config, incus[key])
	if key == "memory.limit" {
		delete(r.Config, "limits.memory.enforce")
	}
	for _, k := range root[key] {
		delete(r.Root, k)
	}
	if _, ok := r.Root["size"]; !ok {
		r.size = 0
	}
}

// lacks says why a need is not met, or "".
func (h Host) lacks(need string) string {
	switch need {
	case needQuota:
		if h.Driver == "dir" && !projectQuota(h.PoolDir) {
			return fmt.Sprintf("storage pool %s (driver dir) has no quotas", h.Pool)
		}
		if h.Driver == "btrfs" && h.LostCount != "" {
			return fmt.Sprintf("storage pool %s (driver btrfs): the quota data of file system %s are inconsistent, so none is in force; sudo btrfs quota rescan -w on it mends that", h.Pool, h.LostCount)
		}
		return ""
	case needIO:
		if h.Driver == "zfs" || h.Driver == "ceph" || h.Driver == "cephfs" {
			return fmt.Sprintf("storage pool %s (driver %s) takes no rates", h.Pool, h.Driver)
		}
	case needSwap:
		if h.SwapControl {
			return ""
		}
		return "this kernel does not account swap (cgroup controller memory)"
	}
	if !h.Controllers[need] {
		return "the cgroup controller " + need + " is missing"
	}
	return ""
}

// projectQuota reports whether the file system of dir is mounted with project
// quotas, which the driver dir needs for a size.
func projectQuota(dir string) bool {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || dir == "" {
		return false
	}
	best, options := "", ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 6 && (f[4] == "/" || dir == f[4] || strings.HasPrefix(dir, f[4]+"/")) && len(f[4]) >= len(best) {
			best, options = f[4], f[len(f)-1]
		}
	}
	return strings.Contains(options, "prjquota") || strings.Contains(options, "pquota")
}

// cpusWanted is the number of CPUs that a count or set needs to exist.
func cpusWanted(s string) int {
	most := 0
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == '-' }) {
		if n, err := strconv.Atoi(part); err == nil {
			most = max(most, n)
		}
	}
	if strings.ContainsAny(s, ",-") {
		most++
	}
	return most
}
