package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/daemon"
	"github.com/code-on-incus/coi/pkg/cli"
)

// logTrail writes findings to the service's own log.
type logTrail struct {
	out io.Writer
	n   atomic.Uint64
}

// Put writes one line.
func (t *logTrail) Put(r daemon.Record) string {
	id := fmt.Sprintf("%d-%d", time.Now().UnixNano(), t.n.Add(1))
	_, _ = fmt.Fprintf(t.out, "%s %s %s %s %s\n", id, r.Container, r.Finding.Rule, r.Action, cli.Escape(r.Finding.Title))
	return id
}

// names knows no program.
type names struct{}

func (names) ClassOf(string) string        { return "" }
func (names) Canonical(name string) string { return name }
func (names) Known() []string              { return nil }
