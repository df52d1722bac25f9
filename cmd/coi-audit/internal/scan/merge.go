package scan

import (
	"errors"
	"io"
)

// Merged gives out the lines of several trails in order of their times.
type Merged struct {
	cursors []*Cursor
	lines   [][]byte
	times   []string
	last    int // whose line was given out last, -1 at first
}

// NewMerged reads the first line of each cursor.
func NewMerged(cursors []*Cursor) (*Merged, error) {
	m := &Merged{cursors: cursors, lines: make([][]byte, len(cursors)), times: make([]string, len(cursors)), last: -1}
	for i := range cursors {
		if err := m.advance(i); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Merged) advance(i int) error {
	line, err := m.cursors[i].Next()
	if errors.Is(err, io.EOF) {
		m.lines[i] = nil
		return nil
	}
	if err != nil {
		return err
	}
	m.lines[i] = line
	var h head
	if h.parse(line) {
		m.times[i] = string(h.ts)
	}
	return nil
}

// Next is the next line, valid until the next call; io.EOF after the last.
func (m *Merged) Next() ([]byte, error) {
	if m.last >= 0 {
		if err := m.advance(m.last); err != nil {
			return nil, err
		}
	}
	best := -1
	for i, line := range m.lines {
		if line != nil && (best < 0 || m.times[i] < m.times[best]) {
			best = i
		}
	}
	m.last = best
	if best < 0 {
		return nil, io.EOF
	}
	return m.lines[best], nil
}

// Lines is a source of lines: a Cursor or a Merged.
type Lines interface {
	Next() ([]byte, error)
}

// Judge decides on a line that came from elsewhere than a Cursor.
func (f *Filter) Judge(line []byte, own bool) (wanted, readable bool) {
	switch f.judge(line, own) {
	case yes:
		return true, true
	case bad:
		return false, false
	}
	return false, true
}
