// Package limit turns the [limits] of the configuration into Incus keys and
// says which of them this host cannot enforce.
//
// Call order: Parse (all bad fields at once, exit code 5), Probe, Result.Check
// (what is too much or cannot be enforced), Result.Config and Result.Root into
// the create request, Result.Tmpfs into the set-up script.
package limit

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Limits are the values as written. Trusted says of a key ("disk.max") whether
// its value came from a trusted scope; nil means all did.
type Limits struct {
	CPUCount, CPUAllowance      string
	CPUPriority                 int
	Memory, MemoryEnforce, Swap string
	DiskSize, DiskMax           string
	DiskRead, DiskWrite         string
	DiskPriority                int
	Tmpfs                       string
	MaxProcesses                int
	Trusted                     func(key string) bool
}

// Result is what Incus is told.
type Result struct {
	Config map[string]string // limits.*
	Root   map[string]string // keys of the root disk device
	Tmpfs  int64             // bytes for /tmp; 0: not a tmpfs
	size   int64             // quota of the root disk in bytes, 0 without
	used   []use
	from   Limits
}

// use ties a key of ours to what it needs of the host.
type use struct{ key, need string }

// What a limit can need of the host.
const (
	needCPU, needCpuset, needMemory = "cpu", "cpuset", "memory"
	needPids, needIO, needQuota     = "pids", "io", "quota"
	needSwap                        = "swap"
)

var (
	cpuSetRE    = regexp.MustCompile(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)
	allowanceRE = regexp.MustCompile(`^([1-9][0-9]?|100)%$|^[1-9][0-9]*ms/[1-9][0-9]*ms$`)
	percentRE   = regexp.MustCompile(`^([1-9][0-9]?|100)%$`)
	sizeRE      = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)
	iopsRE      = regexp.MustCompile(`^[1-9][0-9]*iops$`)
	numberRE    = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
)

var units = map[string]float64{
	"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// Size reads a size such as 8GiB and gives its bytes.
func Size(s string) (int64, error) {
	m := sizeRE.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no size (number and B kB MB GB TB KiB MiB GiB TiB)", cli.Escape(s))
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if v := n * units[m[2]]; err == nil && v >= 1 && v < 1<<60 {
		return int64(v), nil
	}
	return 0, fmt.Errorf("%q is out of range", cli.Escape(s))
}

// parser collects the keys and every problem.
type parser struct {
	Result
	problems []string
	hint     string
}

// Parse checks the grammar of all values. The error has exit code 5, its lines
// name every bad field.
func Parse(l Limits) (*Result, error) {
	p := &parser{Result: Result{Config: map[string]string{}, Root: map[string]string{}, from: l}}
	p.cpu(l)
	p.memory(l)
	p.disk(l)
	p.number("runtime.max_processes", l.MaxProcesses, 1_000_000, "limits.processes", needPids)
	if len(p.problems) == 0 {
		return &p.Result, nil
	}
	e := cli.Fail(coi.ExitConfig, "%s", p.problems[0])
	e.Lines = p.problems[1:]
	if p.hint != "" {
		e.Hints = append(e.Hints, p.hint)
	}
	return nil, e
}

func (p *parser) bad(key, format string, a ...any) {
	p.problems = append(p.problems, "limits."+key+": "+fmt.Sprintf(format, a...))
}

func (p *parser) set(key, incus, value string, needs ...string) {
	p.Config[incus] = value
	p.need(key, needs...)
}

func (p *parser) need(key string, needs ...string) {
	for _, n := range needs {
		p.used = append(p.used, use{key, n})
	}
}

func (p *parser) number(key string, n, most int, incus string, needs ...string) {
	switch {
	case n < 0 || n > most:
		p.bad(key, "%d is not in 0-%d", n, most)
	case n > 0:
		p.set(key, incus, strconv.Itoa(n), needs...)
	}
}

func (p *parser) cpu(l Limits) {
	if l.CPUCount != "" {
		if !cpuSetRE.MatchString(l.CPUCount) || l.CPUCount == "0" || !rangesRise(l.CPUCount) {
			p.bad("cpu.count", "%q is no count (2) and no set (0-3, 0,1,3)", cli.Escape(l.CPUCount))
		} else {
			p.set("cpu.count", "limits.cpu", l.CPUCount, needCpuset)
		}
	}
	if l.CPUAllowance != "" {
		if !allowanceRE.MatchString(l.CPUAllowance) {
			p.bad("cpu.allowance", "%q is neither a share (50%%) nor a time (25ms/100ms)", cli.Escape(l.CPUAllowance))
		} else {
			p.set("cpu.allowance", "limits.cpu.allowance", l.CPUAllowance, needCPU)
		}
	}
	p.number("cpu.priority", l.CPUPriority, 10, "limits.cpu.priority", needCPU)
}

func rangesRise(set string) bool {
	for part := range strings.SplitSeq(set, ",") {
		if lo, hi, ok := strings.Cut(part, "-"); ok {
			a, err1 := strconv.Atoi(lo)
			b, err2 := strconv.Atoi(hi)
			if err1 != nil || err2 != nil || a > b {
				return false
			}
		}
	}
	return true
}

func (p *parser) memory(l Limits) {
	if l.Memory != "" {
		if percentRE.MatchString(l.Memory) {
			p.set("memory.limit", "limits.memory", l.Memory, needMemory)
		} else if n, err := Size(l.Memory); err != nil {
			p.bad("memory.limit", "%s, nor a share (50%%)", err)
		} else {
			p.set("memory.limit", "limits.memory", bytes(n), needMemory)
		}
		switch l.MemoryEnforce {
		case "", "soft", "hard":
			p.Config["limits.memory.enforce"] = map[bool]string{true: "hard", false: "soft"}[l.MemoryEnforce == "hard"]
		}
	}
	if l.MemoryEnforce != "" && l.MemoryEnforce != "soft" && l.MemoryEnforce != "hard" {
		p.bad("memory.enforce", "%q is neither soft nor hard", cli.Escape(l.MemoryEnforce))
	}
	switch l.Swap {
	case "", "true":
	case "false":
		p.set("memory.swap", "limits.memory.swap", "false", needSwap)
	default:
		if n, err := Size(l.Swap); err != nil {
			p.bad("memory.swap", "%s, nor true or false", err)
		} else {
			p.set("memory.swap", "limits.memory.swap", bytes(n), needSwap)
		}
	}
}

func bytes(n int64) string { return strconv.FormatInt(n, 10) + "B" }
