package main

import (
	"bytes"
	"os"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/show"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/tail"
)

// follow prints wanted lines as they come, until the context ends.
func follow(c *cli.Context, trails []*trail, filter *scan.Filter, bad *scan.Bad, out show.Writer) error {
	files := make([]tail.File, len(trails))
	for i, t := range trails {
		files[i] = tail.File{Path: t.path, Read: t.ids()}
		files[i].F = t.handOver(&files[i])
	}
	long := make([]bool, len(trails))
	opts := tail.Options{
		MaxHeld: audit.MaxLine,
		Open: func(path string) (*os.File, error) {
			if trails[0].own {
				return home.Open(path)
			}
			return os.Open(path)
		},
		Parts: func(i int) []string {
			if trails[i].parts == nil {
				return nil
			}
			return trails[i].parts()
		},
		Truncated: func(i int) { c.Note(trails[i].path + " was truncated") },
	}
	return tail.Follow(c, files, opts, func(ch tail.Chunk) error {
		t := trails[ch.File]
		if ch.Partial {
			long[ch.File] = true
			return nil
		}
		for line := range bytes.Lines(ch.Data) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			tooLong := long[ch.File] || len(line) > audit.MaxLine
			long[ch.File] = false
			if err := one(line, tooLong, t, filter, bad, out); err != nil {
				return err
			}
		}
		return out.Flush(false)
	})
}

func one(line []byte, tooLong bool, t *trail, filter *scan.Filter, bad *scan.Bad, out show.Writer) error {
	wanted, readable := false, false
	if !tooLong {
		wanted, readable = filter.Judge(line, t.own)
	}
	if !readable && len(bytes.TrimSpace(line)) > 0 {
		if bad.Count == 0 {
			bad.First = t.path
		}
		bad.Count++
	}
	if !wanted {
		return nil
	}
	return out.Line(line)
}

// ids tells which files were read already.
func (t *trail) ids() (out []tail.ID) {
	for _, in := range t.inputs {
		if id, ok := in.ID(); ok {
			out = append(out, id)
		}
	}
	return out
}

// handOver gives the file that grows to the follower, from where it was read to.
func (t *trail) handOver(to *tail.File) *os.File {
	if len(t.inputs) == 0 {
		return nil
	}
	last := t.inputs[len(t.inputs)-1]
	if last.Name != t.path || !last.Seekable() {
		return nil
	}
	t.inputs = t.inputs[:len(t.inputs)-1]
	f, at := last.Rest()
	to.Offset = at
	return f
}
