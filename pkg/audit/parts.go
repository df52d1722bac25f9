package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// Part is one file of a trail.
type Part struct {
	Name    string // base name
	Path    string
	First   int // seq of its first record as the name says; 0 for the current file
	Current bool
}

// Parts lists the rotated files of a container's trail in order, without the
// current file. A missing directory is no error.
func Parts(h home.Home, container string) ([]Part, error) {
	entries, err := os.ReadDir(h.Audit())
	if err != nil && !home.Missing(err) {
		return nil, err
	}
	var parts []Part
	for _, e := range entries {
		if first, ok := partOf(container, e.Name()); ok {
			parts = append(parts, Part{Name: e.Name(), Path: h.Audit(e.Name()), First: first})
		}
	}
	slices.SortFunc(parts, func(a, b Part) int { return a.First - b.First })
	return parts, nil
}

// partOf takes <container>.<first seq>.jsonl apart.
func partOf(container, name string) (first int, ok bool) {
	rest, ok := strings.CutPrefix(name, container+".")
	if !ok {
		return 0, false
	}
	digits, ok := strings.CutSuffix(rest, ".jsonl")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && strconv.Itoa(n) == digits
}

// Files lists all files of a trail in order, the current one last if it is there.
func Files(h home.Home, container string) ([]Part, error) {
	parts, err := Parts(h, container)
	if err != nil {
		return nil, err
	}
	cur := Part{Name: container + ".jsonl", Path: h.Audit(container + ".jsonl"), Current: true}
	if _, err := os.Lstat(cur.Path); err == nil {
		parts = append(parts, cur)
	} else if !home.Missing(err) {
		return nil, err
	}
	return parts, nil
}

// Containers lists the containers that have a trail, by name.
func Containers(h home.Home) ([]string, error) {
	entries, err := os.ReadDir(h.Audit())
	if err != nil && !home.Missing(err) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		if strings.HasSuffix(e.Name(), ".jsonl") && coi.ValidContainer(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// last reads the link at the end of a part.
func (p Part) last() (tail, error) {
	f, err := home.Open(p.Path)
	if err != nil {
		return tail{}, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	return readTail(f, st.Size())
}

// rotate closes the current file and begins the next. The record it returns
// must be the first one there.
func (s *store) rotate() (*Record, error) {
	if s.first == 0 {
		s.first = firstSeq(s.file)
	}
	name := fmt.Sprintf("%s.%d.jsonl", s.name, max(s.first, 1))
	to := s.home.Audit(name)
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("rotate %s: %s exists", s.path(), name)
	}
	if err := os.Rename(s.path(), to); err != nil {
		return nil, fmt.Errorf("rotate: %w", err)
	}
	f, err := openTrail(s.path())
	if err != nil {
		s.forget()
		return nil, err
	}
	s.old = append(s.old, s.file)
	s.file = f
	if err := s.adopt(0); err != nil {
		return nil, err
	}
	return s.partRecord(name, true), nil
}
