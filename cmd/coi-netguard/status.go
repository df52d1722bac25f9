package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
)

type statusCmd struct {
	cli.Format
	Container string `arg:"" optional:"" help:"Container or alias; default: all."`
}

type statusDoc struct {
	SchemaVersion int           `json:"schema_version"`
	Daemon        statusDaemon  `json:"daemon"`
	Containers    []statusOfOne `json:"containers"`
}

type statusDaemon struct {
	PID      int       `json:"pid"`
	Since    time.Time `json:"since,omitzero"`
	Version  string    `json:"version"`
	Features []string  `json:"features"`
	Missing  []string  `json:"missing"`
	Problems []string  `json:"problems"`
}

type statusOfOne struct {
	Name       string         `json:"name"`
	Mode       string         `json:"mode"`
	State      string         `json:"state"`
	Phase      string         `json:"phase"`
	Generation int            `json:"generation"`
	Veth       string         `json:"veth"`
	IPv4       string         `json:"ipv4"`
	IPv6       string         `json:"ipv6"`
	Ruleset    string         `json:"ruleset"`
	CheckedAt  time.Time      `json:"checked_at"`
	Denied     map[string]int `json:"denied"`
	Top        []events.Top   `json:"top"`
	Addresses  int            `json:"addresses"`
	DNSQueries uint64         `json:"dns_queries"`
	DNSRefused uint64         `json:"dns_refused"`
	Problems   []string       `json:"problems"`
	Error      string         `json:"error"`
}

func (c *statusCmd) Run(x *cli.Context) error {
	h, err := x.Home()
	if err != nil {
		return err
	}
	names := []string{c.Container}
	if c.Container == "" {
		if names, err = client.All(h); err != nil {
			return err
		}
	}
	doc := statusDoc{SchemaVersion: 1, Containers: []statusOfOne{}}
	d, alive := client.Daemon(h)
	doc.Daemon = statusDaemon{Version: d.Version, Features: orEmpty(d.Features), Missing: orEmpty(d.Missing), Problems: orEmpty(d.Problems)}
	if alive {
		doc.Daemon.PID, doc.Daemon.Since = d.PID, d.Since
	}
	bad := false
	for _, name := range names {
		f, err := client.Open(x, name)
		if err != nil {
			return err
		}
		one := oneStatus(f)
		if !alive && one.State != "" {
			one.State = run.NetUnattended
		}
		bad = bad || one.State != run.NetEnforcing && one.State != run.NetDegraded
		doc.Containers = append(doc.Containers, one)
	}
	if c.IsJSON() {
		err = x.PrintJSON(doc)
	} else {
		err = printStatus(x, &doc, alive)
	}
	if err == nil && bad {
		return cli.Exit(coi.ExitFailed)
	}
	return err
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func oneStatus(f *client.Files) statusOfOne {
	s := f.Status
	one := statusOfOne{
		Name: f.Name, Mode: f.Spec.Policy.Mode, State: s.State, Phase: s.Phase, Generation: s.Generation, Veth: f.Spec.Veth, IPv4: s.IPv4, IPv6: s.IPv6, Ruleset: s.Ruleset,
		CheckedAt: s.CheckedAt, Denied: s.Denied, Top: f.View.Top, Addresses: s.Addresses, DNSQueries: s.DNSQueries, DNSRefused: s.DNSRefused, Problems: orEmpty(s.Problems), Error: s.Error,
	}
	if one.State == "" {
		one.State = run.NetPending
	}
	if one.Denied == nil {
		one.Denied = map[string]int{}
	}
	if one.Top == nil {
		one.Top = []events.Top{}
	}
	return one
}

func printStatus(x *cli.Context, doc *statusDoc, alive bool) error {
	d := doc.Daemon
	if alive {
		_, _ = fmt.Fprintf(x.Stdout, "guard %s, pid %d, since %s, features: %s\n", cli.Escape(d.Version), d.PID, d.Since.Local().Format("2006-01-02 15:04"), cli.Escape(strings.Join(d.Features, ", ")))
	} else {
		x.Warn("the guard is not running; rules that were in force stay", "coi health")
	}
	for _, m := range d.Missing {
		_, _ = fmt.Fprintf(x.Stdout, "not on this kernel: %s\n", cli.Escape(m))
	}
	for _, p := range d.Problems {
		_, _ = fmt.Fprintf(x.Stdout, "problem: %s\n", cli.Escape(p))
	}
	if len(doc.Containers) == 0 {
		_, _ = fmt.Fprintln(x.Stderr, "no containers")
		return nil
	}
	var rows [][]string
	for _, c := range doc.Containers {
		total := 0
		for _, n := range c.Denied {
			total += n
		}
		rows = append(rows, []string{c.Name, c.State, c.Mode, c.Phase, c.IPv4, when(c.CheckedAt), fmt.Sprint(total), short(c.Ruleset)})
	}
	err := x.Table([]cli.Column{{Name: "NAME"}, {Name: "STATE"}, {Name: "MODE"}, {Name: "PHASE"}, {Name: "IPV4"}, {Name: "CHECKED"}, {Name: "BLOCKED"}, {Name: "RULES", Flex: true}}, rows)
	for _, c := range doc.Containers {
		printOne(x, &c)
	}
	return err
}

func short(hash string) string {
	return hash[:min(len(hash), len("sha256:")+12)]
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("15:04:05")
}

func printOne(x *cli.Context, c *statusOfOne) {
	if c.Error != "" {
		_, _ = fmt.Fprintf(x.Stdout, "%s: %s\n", cli.Escape(c.Name), cli.Escape(c.Error))
	}
	for _, rule := range slices.Sorted(maps.Keys(c.Denied)) {
		_, _ = fmt.Fprintf(x.Stdout, "%s: %-20s %d\n", cli.Escape(c.Name), cli.Escape(rule), c.Denied[rule])
	}
	for _, t := range c.Top {
		to := cli.Escape(t.Dest)
		if t.Port > 0 {
			to += fmt.Sprintf(" port %d", t.Port)
		}
		_, _ = fmt.Fprintf(x.Stdout, "%s: blocked %d times: %s (%s)\n", cli.Escape(c.Name), t.Count, to, cli.Escape(t.Rule))
	}
}
