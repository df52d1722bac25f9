package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/allow"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// statusCmd shows what is watched and how well.
type statusCmd struct {
	cli.Format
	Container string `arg:"" optional:"" help:"Only this container."`
}

// statusJSON is the answer of `coi watch status --json`.
type statusJSON struct {
	SchemaVersion int               `json:"schema_version"`
	Running       bool              `json:"running"`
	PID           int               `json:"pid,omitempty"`
	Since         *time.Time        `json:"since,omitempty"`
	Sources       []string          `json:"sources"`
	Problems      []string          `json:"problems"`
	AllowEntries  int               `json:"allow_entries"`
	Containers    []containerStatus `json:"containers"`
}

type containerStatus struct {
	Container string `json:"container"`
	Watched   bool   `json:"watched"`
	run.WatchStatus
	P50us    int64 `json:"p50_us"`
	P99us    int64 `json:"p99_us"`
	Marks    int   `json:"marks"`
	Findings int   `json:"findings"`
}

// Run prints the state; exit 1 when a running container is not watched.
func (s *statusCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	out, err := gather(h, s.Container, time.Now())
	if err != nil {
		return err
	}
	if s.IsJSON() {
		err = c.PrintJSON(out)
	} else {
		err = out.print(c)
	}
	if err != nil {
		return err
	}
	for _, x := range out.Containers {
		if !x.Watched {
			return cli.Exit(coi.ExitFailed)
		}
	}
	return nil
}

// gather reads the files of the daemon and of all sessions.
func gather(h home.Home, only string, now time.Time) (statusJSON, error) {
	out := statusJSON{SchemaVersion: run.Schema, Sources: []string{}, Problems: []string{}, Containers: []containerStatus{}}
	var d run.Daemon
	if err := run.Read(h.Run(run.WatchDaemonFile), &d); err != nil && !home.Missing(err) {
		return out, err
	}
	if out.Running = d.Alive(now); out.Running {
		out.PID, out.Since = d.PID, &d.Since
		out.Sources, out.Problems = append(out.Sources, d.Sources...), append(out.Problems, d.Problems...)
	}
	if entries, err := allow.Load(h); err != nil {
		out.Problems = append(out.Problems, err.Error())
	} else {
		live := liveSessions(h)
		for _, e := range entries {
			if !e.Over(live, now) {
				out.AllowEntries++
			}
		}
	}
	names, err := containers(h)
	if err != nil {
		return out, err
	}
	if only != "" {
		if !slices.Contains(names, only) {
			return out, cli.Fail(coi.ExitNoContainer, "no container %q is watched or running", only).Hint("coi list")
		}
		names = []string{only}
	}
	for _, n := range names {
		out.Containers = append(out.Containers, one(h, n, out.Running))
	}
	return out, nil
}

// containers are those that are asked to be watched and those that run.
func containers(h home.Home) ([]string, error) {
	names, err := run.Names(h.Run(), run.WatchFile)
	if err != nil {
		return nil, err
	}
	all, err := run.Names(h.Run(), run.SessionFile)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		var s run.Session
		if run.Read(h.Run(n+run.SessionFile), &s) == nil && s.Phase == run.Running && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

func one(h home.Home, name string, running bool) containerStatus {
	x := containerStatus{Container: name}
	err := run.Read(h.Run(name+run.WatchStatusFile), &x.WatchStatus)
	x.WatchStatus.Container = name
	x.Watched = err == nil && running && x.Armed && x.Error == ""
	var v view.View
	if run.Read(h.Run(name+run.WatchViewFile), &v) == nil {
		x.P50us, x.P99us, x.Marks, x.Findings = v.Watcher.P50us, v.Watcher.P99us, v.Watcher.Marks, v.Watcher.Findings
	}
	if x.Sources == nil {
		x.Sources = []string{}
	}
	if x.Problems == nil {
		x.Problems = []string{}
	}
	return x
}

func (s statusJSON) print(c *cli.Context) error {
	if !s.Running {
		_, _ = fmt.Fprintln(c.Stdout, "coi-watch: not running")
	} else {
		_, _ = fmt.Fprintf(c.Stdout, "coi-watch: running (pid %d), allow entries in use: %d\nsensors: %s\n", s.PID, s.AllowEntries, cli.Escape(strings.Join(s.Sources, " ")))
	}
	for _, p := range s.Problems {
		_, _ = fmt.Fprintln(c.Stdout, "problem: "+cli.Escape(p))
	}
	if len(s.Containers) == 0 {
		return nil
	}
	var rows [][]string
	for _, x := range s.Containers {
		rows = append(rows, []string{
			x.Container, x.state(), strconv.FormatUint(x.Lost, 10), fmt.Sprintf("%.1f/%.1f ms", float64(x.P50us)/1000, float64(x.P99us)/1000),
			strconv.Itoa(x.Marks), strconv.Itoa(x.Findings), strings.Join(append(slices.Clone(x.Problems), nonEmpty(x.Error)...), "; "),
		})
	}
	return c.Table([]cli.Column{{Name: "CONTAINER"}, {Name: "STATE"}, {Name: "LOST"}, {Name: "P50/P99"}, {Name: "MARKS"}, {Name: "FINDINGS"}, {Name: "PROBLEMS", Flex: true}}, rows)
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func (x containerStatus) state() string {
	switch {
	case !x.Watched:
		return "unwatched"
	case x.Killed != nil:
		return "killed"
	case x.Frozen != nil:
		return "frozen: " + x.FrozenTitle
	}
	return "watched"
}
