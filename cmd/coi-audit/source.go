package main

import (
	"errors"
	"io"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/show"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
)

const bufSize = 256 << 10

func openTrail(h home.Home, name string) (*trail, error) {
	in, err := scan.Trail(h, name)
	if err != nil {
		return nil, err
	}
	return &trail{inputs: in, path: h.Audit(name + ".jsonl"), own: true, parts: func() []string {
		files, err := audit.Files(h, name)
		if err != nil {
			return nil
		}
		paths := make([]string, len(files))
		for i, f := range files {
			paths[i] = f.Path
		}
		return paths
	}}, nil
}

func allTrails(h home.Home) ([]*trail, error) {
	names, err := audit.Containers(h)
	if err != nil {
		return nil, err
	}
	var out []*trail
	for _, name := range names {
		t, err := openTrail(h, name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// source gives out the wanted lines of all trails, of which the first skip are
// too many when only the last ones are wanted.
func (a *auditCmd) source(trails []*trail, filter *scan.Filter, bad *scan.Bad) (src scan.Lines, skip int, err error) {
	size := bufSize
	if len(trails) > 4 {
		size = 16 << 10
	}
	var cursors []*scan.Cursor
	total := 0
	for _, t := range trails {
		inputs := filter.Narrow(append([]*scan.Input(nil), t.inputs...))
		if a.Lines != nil && seekable(inputs) {
			var n int
			if inputs, n, err = filter.Last(inputs, *a.Lines); err != nil {
				return nil, 0, err
			}
			total += n
		}
		cursors = append(cursors, scan.NewCursor(inputs, filter, bad, size))
	}
	if a.Lines != nil && !allSeekable(trails) {
		return &ring{src: cursors[0], n: *a.Lines}, 0, nil
	}
	if a.Lines != nil {
		skip = max(0, total-*a.Lines)
	}
	if len(cursors) == 1 {
		return cursors[0], skip, nil
	}
	m, err := scan.NewMerged(cursors)
	return m, skip, err
}

// maxKnown bounds what a table remembers of processes: some megabytes.
const maxKnown = 20_000

// processes are those behind refused attempts, for a filter that keeps the
// attempts and not the records that tell the processes.
func processes(trails []*trail, wanted *scan.Filter) (map[string]string, error) {
	filter := &scan.Filter{Rules: []string{"net.who"}, Since: wanted.Since}
	filter.Prepare()
	known := map[string]string{}
	for _, t := range trails {
		if !t.own || !seekable(t.inputs) {
			continue
		}
		src := scan.NewCursor(filter.Narrow(slices.Clone(t.inputs)), filter, &scan.Bad{}, bufSize)
		for len(known) < maxKnown {
			line, err := src.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			who, keys := show.Who(line)
			for _, key := range keys {
				known[key] = who
			}
		}
	}
	return known, nil
}

func seekable(inputs []*scan.Input) bool {
	for _, in := range inputs {
		if !in.Seekable() {
			return false
		}
	}
	return true
}

func allSeekable(trails []*trail) bool {
	for _, t := range trails {
		if !seekable(t.inputs) {
			return false
		}
	}
	return true
}

// ring keeps the last n lines of a stream.
type ring struct {
	src   scan.Lines
	n     int
	lines [][]byte
	read  bool
}

// Next is scan.Lines.
func (r *ring) Next() ([]byte, error) {
	for !r.read {
		line, err := r.src.Next()
		if errors.Is(err, io.EOF) {
			r.read = true
			break
		}
		if err != nil {
			return nil, err
		}
		if len(r.lines) == r.n {
			r.lines = r.lines[1:]
		}
		r.lines = append(r.lines, append([]byte(nil), line...))
	}
	if len(r.lines) == 0 {
		return nil, io.EOF
	}
	line := r.lines[0]
	r.lines = r.lines[1:]
	return line, nil
}
