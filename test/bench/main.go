// Command bench measures what coi promises about speed and prints medians and
// ratios. Each benchmark is a function in a file of its own and stands in the
// list below. All work on the real thing: Incus, containers, guards.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// measure is one line of the result.
type measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`           // ms, MiB, ratio, …
	Goal  float64 `json:"goal,omitempty"` // at most this; 0: none
	Note  string  `json:"note,omitempty"` // what was compared, with its own figures
}

// bench is a benchmark: a name, what it is about, and the measuring.
type bench struct {
	name, about string
	run         func(ctx context.Context, h *house.House, rounds int) ([]measure, error)
}

var all = []bench{
	{"config", "coi config show and its load against git config --list", settings},
	{"dispatch", "coi VERB against git VERB for an external command", dispatch},
	{"run", "coi run against incus init, start, exec and delete", runs},
	{"sessions", "twenty sessions at once; list, snapshot and resume against incus", sessions},
	{"memory", "memory of the guards while a session runs", memory},
}

func main() {
	if err := measureAll(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: error: "+err.Error())
		os.Exit(1)
	}
}

func measureAll(args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 10, "how often each thing is done; the median counts")
	only := flags.String("only", "", "comma-separated names of benchmarks; empty for all")
	asJSON := flags.Bool("json", false, "one JSON document")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	h, err := house.Open("bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	var results []measure
	for _, b := range all {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), b.name) {
			continue
		}
		_, _ = fmt.Fprintf(os.Stderr, "bench: %s: %s\n", b.name, b.about)
		m, err := b.run(ctx, h, *rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		results = append(results, m...)
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"schema_version": 1, "rounds": *rounds, "measures": results})
	}
	return table(out, results)
}

func table(out io.Writer, results []measure) error {
	for _, m := range results {
		goal := ""
		if m.Goal > 0 {
			goal = fmt.Sprintf("goal <= %.2f  ok", m.Goal)
			if m.Value > m.Goal {
				goal = fmt.Sprintf("goal <= %.2f  MISSED", m.Goal)
			}
		}
		if _, err := fmt.Fprintf(out, "%-44s %9.2f %-6s %-24s %s\n", m.Name, m.Value, m.Unit, goal, m.Note); err != nil {
			return err
		}
	}
	return nil
}

// median of durations, in milliseconds.
func median(d []time.Duration) float64 {
	s := slices.Clone(d)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	mid := s[len(s)/2]
	if len(s)%2 == 0 {
		mid = (mid + s[len(s)/2-1]) / 2
	}
	return float64(mid.Microseconds()) / 1000
}
