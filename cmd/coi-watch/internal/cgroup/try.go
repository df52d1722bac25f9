package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// tryTime bounds one try of the freezer.
const tryTime = time.Second

// Try freezes and thaws an empty group of its own, made for it and removed
// afterwards, and returns the time that took. An error says that no container
// could be frozen by this process.
func (l Layout) Try(ctx context.Context) (took time.Duration, err error) {
	name := fmt.Sprintf("coi-watch-try-%d", os.Getpid())
	dirs := []string{filepath.Join(l.Parent(), name)}
	if v1 := l.V1["freezer"]; v1 != "" && v1 != l.Parent() {
		dirs = append(dirs, filepath.Join(v1, name))
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // as the kernel makes them
			return 0, err
		}
		defer func() { err = errors.Join(err, os.Remove(dir)) }()
	}
	g, err := l.Open(name)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	start := time.Now()
	if err := g.Freeze(ctx); err != nil {
		return 0, err
	}
	if !g.Frozen() {
		return 0, errors.New("the freezer took the word and froze nothing")
	}
	if err := g.Thaw(ctx); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
