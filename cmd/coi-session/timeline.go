package main

import (
	"fmt"
	"io"
	"time"
)

// timeline notes when each step of a command was done, for COI_TIMING_DEBUG=1.
type timeline struct {
	on    bool
	first time.Time
	steps []step
}

type step struct {
	name string
	at   time.Duration
}

func (t *timeline) begin(getenv func(string) string) {
	t.on, t.first = getenv("COI_TIMING_DEBUG") == "1", time.Now()
}

func (t *timeline) mark(name string) {
	if t.on {
		t.steps = append(t.steps, step{name, time.Since(t.first)})
	}
}

// print writes the steps with the milliseconds since the start and since the
// step before.
func (t *timeline) print(w io.Writer) {
	var last time.Duration
	for _, s := range t.steps {
		_, _ = fmt.Fprintf(w, "%8.1f ms %+8.1f  %s\n", float64(s.at)/1e6, float64(s.at-last)/1e6, s.name)
		last = s.at
	}
}
