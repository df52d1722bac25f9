package usage

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Process is one process of a container as the host sees it. Command is hostile text.
type Process struct {
	PID     int
	UID     int // of the host
	Start   uint64
	CPU     time.Duration
	Memory  uint64 // resident bytes
	Command string
}

// tick is the kernel's unit of process times, USER_HZ, which is 100 on every
// architecture that Incus runs on.
const tick = 10 * time.Millisecond

// Processes lists the processes of a container.
func (h Host) Processes(project, name string) []Process {
	want := "/" + group(project, name)
	entries, err := os.ReadDir(h.path("proc"))
	if err != nil {
		return nil
	}
	var list []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := h.path("proc", e.Name())
		if !member(read(dir, "cgroup"), want) {
			continue
		}
		if p, ok := process(dir, pid); ok {
			list = append(list, p)
		}
	}
	return list
}

func member(cgroups []byte, want string) bool {
	for line := range strings.Lines(string(cgroups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[2] == want || strings.HasPrefix(parts[2], want+"/")) {
			return true
		}
	}
	return false
}

func process(dir string, pid int) (Process, bool) {
	stat := string(read(dir, "stat"))
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, false // it ended meanwhile
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 22 {
		return Process{}, false
	}
	p := Process{PID: pid, Start: parse(f[19]), Memory: parse(f[21]) * uint64(os.Getpagesize())} //nolint:gosec // a page size is positive
	p.CPU = time.Duration(parse(f[11])+parse(f[12])) * tick                                      //nolint:gosec // ticks of ages fit
	p.Command = strings.TrimSpace(strings.ReplaceAll(string(read(dir, "cmdline")), "\x00", " "))
	if p.Command == "" {
		p.Command = "[" + stat[open+1:end] + "]"
	}
	for line := range strings.Lines(string(read(dir, "status"))) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if uids := strings.Fields(rest); len(uids) > 0 {
				p.UID = int(parse(uids[0])) //nolint:gosec // a uid has 32 bits
			}
		}
	}
	return p, true
}
