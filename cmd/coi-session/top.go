package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/usage"
	"github.com/code-on-incus/coi/pkg/cli"
)

type topCmd struct {
	workspaceFlag
	cli.Globals
	Container string  `arg:"" optional:"" help:"Show the processes of this container."`
	Interval  float64 `short:"i" default:"2" placeholder:"SEC" help:"Seconds between refreshes, 0.5-60."`
	Sort      string  `default:"cpu" placeholder:"KEY" help:"cpu, mem, disk or net; processes: cpu or mem."`
	Procs     bool    `help:"Show processes instead of containers."`
	Watch     int     `default:"0" placeholder:"N" help:"End after N refreshes; 0 goes on until q or Ctrl+C."`
	JSON      bool    `name:"json" help:"One sample as JSON."`
}

func topCommand() cli.Command {
	return cli.Command{
		Verb: "top", Summary: "show what containers use, live", Grammar: &topCmd{},
		Detail:   "Figures are read on the host. Keys: q ends, s changes the order, p shows processes.",
		Examples: []string{"coi top", "coi top --json --sort mem", "coi top --procs"},
	}
}

var topSorts = []string{"cpu", "mem", "disk", "net"}

func (t *topCmd) check() error {
	sorts := topSorts
	if t.procs() {
		sorts = topSorts[:2]
	}
	switch {
	case !slices.Contains(sorts, t.Sort):
		return cli.Usage("unknown sort key %q (%s)", cli.Escape(t.Sort), strings.Join(sorts, " "))
	case t.Interval < 0.5 || t.Interval > 60:
		return cli.Usage("interval %g is outside 0.5-60", t.Interval)
	case t.Watch < 0:
		return cli.Usage("--watch %d is negative", t.Watch)
	case t.JSON && t.Watch > 0:
		return cli.Usage("--json prints one sample; it does not go with --watch")
	}
	return nil
}

func (t *topCmd) procs() bool { return t.Procs || t.Container != "" }

// Run samples and shows.
func (t *topCmd) Run(c *cli.Context) error {
	if err := t.check(); err != nil {
		return err
	}
	d, err := openDesk(c, t.Workspace)
	if err != nil {
		return err
	}
	s := &sampler{d: d, interval: time.Duration(t.Interval * float64(time.Second)), last: map[string]usage.Counters{}, lastProc: map[procKey]time.Duration{}}
	if t.Container != "" {
		i, err := d.find(t.Container, 0, false)
		if err != nil {
			return err
		}
		s.only = i.Name
	}
	if t.JSON {
		return t.printJSON(c, s)
	}
	return t.live(c, s)
}

// topRow is one container in one interval.
type topRow struct {
	Name        string  `json:"name"`
	Alias       string  `json:"alias"`
	Workspace   string  `json:"workspace"`
	CPU         float64 `json:"cpu_percent"` // summed over cores
	Memory      float64 `json:"memory_mb"`
	MemoryLimit float64 `json:"memory_limit_mb"`
	DiskRead    float64 `json:"disk_read_mb_per_sec"`
	DiskWrite   float64 `json:"disk_write_mb_per_sec"`
	NetRX       float64 `json:"net_rx_mb_per_sec"`
	NetTX       float64 `json:"net_tx_mb_per_sec"`
	Processes   int     `json:"processes"`
	stopped     bool
}

// procRow is one process in one interval; the pid is the host's.
type procRow struct {
	Container string  `json:"container"`
	PID       int     `json:"pid"`
	User      string  `json:"user"`
	CPU       float64 `json:"cpu_percent"`
	Memory    float64 `json:"memory_mb"`
	Command   string  `json:"command"`
}

type procKey struct {
	pid   int
	start uint64
}

// sampler turns totals into rates.
type sampler struct {
	d        *desk
	host     usage.Host
	only     string
	interval time.Duration
	last     map[string]usage.Counters
	lastProc map[procKey]time.Duration
	lastAt   time.Time
	shown    map[string]topRow
}

func (s *sampler) instances() ([]incus.Instance, error) {
	all, err := s.d.mine()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i incus.Instance) bool { return !i.Running() || s.only != "" && i.Name != s.only }), nil
}

const mb = 1e6

// containers reads one sample; a container that stopped since the last one is
// shown once more as stopped.
func (s *sampler) containers() ([]topRow, error) {
	list, err := s.instances()
	if err != nil {
		return nil, err
	}
	seen := map[string]topRow{}
	rows := []topRow{}
	for _, i := range list {
		now, ok := s.host.Container(i.Project, i.Name, i.ExpandedDevices["eth0"]["host_name"])
		if !ok {
			continue
		}
		row := rates(s.last[i.Name], now)
		row.Name, row.Alias, row.Workspace = i.Name, i.Config["user.coi.alias"], i.Config["user.coi.workspace"]
		s.last[i.Name], seen[i.Name] = now, row
		rows = append(rows, row)
	}
	for name, row := range s.shown {
		if _, still := seen[name]; !still && !row.stopped {
			delete(s.last, name)
			rows = append(rows, topRow{Name: name, Alias: row.Alias, Workspace: row.Workspace, stopped: true})
		}
	}
	s.shown = seen
	return rows, nil
}

// rates compares two totals. Counters that went back, as after a restart, count
// from zero. R-REG-22.
func rates(was, now usage.Counters) topRow {
	row := topRow{Memory: float64(now.Memory) / mb, MemoryLimit: float64(now.MemoryLimit) / mb, Processes: now.Processes}
	seconds := now.At.Sub(was.At).Seconds()
	if was.At.IsZero() || seconds <= 0 || now.CPU < was.CPU {
		return row
	}
	per := func(a, b uint64) float64 {
		if b < a {
			a = 0
		}
		return float64(b-a) / mb / seconds
	}
	row.CPU = float64(now.CPU-was.CPU) / float64(now.At.Sub(was.At)) * 100
	row.DiskRead, row.DiskWrite = per(was.Read, now.Read), per(was.Written, now.Written)
	row.NetRX, row.NetTX = per(was.Received, now.Received), per(was.Sent, now.Sent)
	return row
}

func (s *sampler) processes() ([]procRow, error) {
	list, err := s.instances()
	if err != nil {
		return nil, err
	}
	rows, now, next := []procRow{}, time.Now(), map[procKey]time.Duration{}
	for _, i := range list {
		for _, p := range s.host.Processes(i.Project, i.Name) {
			key := procKey{p.PID, p.Start}
			next[key] = p.CPU
			row := procRow{Container: i.Name, PID: p.PID, User: insideUser(i, p.UID), Memory: float64(p.Memory) / mb, Command: p.Command}
			if was, known := s.lastProc[key]; known && now.After(s.lastAt) {
				row.CPU = float64(p.CPU-was) / float64(now.Sub(s.lastAt)) * 100
			}
			rows = append(rows, row)
		}
	}
	s.lastProc, s.lastAt = next, now
	return rows, nil
}

func sortTop(rows []topRow, key string) {
	value := map[string]func(topRow) float64{
		"cpu": func(r topRow) float64 { return r.CPU }, "mem": func(r topRow) float64 { return r.Memory },
		"disk": func(r topRow) float64 { return r.DiskRead + r.DiskWrite }, "net": func(r topRow) float64 { return r.NetRX + r.NetTX },
	}[key]
	slices.SortStableFunc(rows, func(a, b topRow) int {
		return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a.Name, b.Name))
	})
}

func sortProcs(rows []procRow, key string) {
	slices.SortStableFunc(rows, func(a, b procRow) int {
		if key == "mem" {
			return cmp.Compare(b.Memory, a.Memory)
		}
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(a.PID, b.PID))
	})
}

// printJSON takes two samples, half a second apart, so that there are rates.
func (t *topCmd) printJSON(c *cli.Context, s *sampler) error {
	first := func() error { _, err := s.containers(); return err }
	if t.procs() {
		first = func() error { _, err := s.processes(); return err }
	}
	if err := first(); err != nil {
		return err
	}
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(min(s.interval, 500*time.Millisecond)):
	}
	if t.procs() {
		rows, err := s.processes()
		if err != nil {
			return err
		}
		sortProcs(rows, t.Sort)
		return c.PrintJSON(rows)
	}
	rows, err := s.containers()
	if err != nil {
		return err
	}
	sortTop(rows, t.Sort)
	return c.PrintJSON(rows)
}
