package guard

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// counts are the numbers of a container's status that other goroutines raise.
type counts struct {
	mu      sync.Mutex
	queries uint64
	refused uint64
}

func (c *counts) dns(q resolve.Query) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries++
	switch q.Result {
	case "blocked", "refused", "rebind", "rate":
		c.refused++
	}
}

func (g *Guard) writeStatus(b *box) {
	b.counts.mu.Lock()
	b.status.DNSQueries, b.status.DNSRefused = b.counts.queries, b.counts.refused
	b.counts.mu.Unlock()
	b.mu.Lock()
	b.status.Addresses = b.names.open(time.Now())
	b.mu.Unlock()
	if b.status.State != run.NetUnattended {
		b.status.Problems = g.allProblems()
		if b.status.State == run.NetEnforcing && len(b.status.Problems) > 0 {
			b.status.State = run.NetDegraded
		} else if b.status.State == run.NetDegraded && len(b.status.Problems) == 0 && b.status.InForce {
			b.status.State = run.NetEnforcing
		}
	}
	// On a full disk the status stays in memory; the rules do not need it.
	if err := run.Write(g.path(b.name, run.NetStatusFile), &b.status); err != nil {
		g.problem("status", "status cannot be written: "+err.Error())
		return
	}
	g.solve("status")
}

func (g *Guard) allProblems() []string {
	out := slices.Collect(maps.Values(g.problems))
	if p := g.o.Recorder.Problem(); p != "" {
		out = append(out, "audit trail: "+p)
	}
	slices.Sort(out)
	if out == nil {
		out = []string{}
	}
	return out
}

// beat writes the daemon's sign of life.
func (g *Guard) beat() {
	g.state.HeartbeatAt = time.Now().UTC()
	if err := g.writeState(); err != nil {
		g.problem("state", "state cannot be written: "+err.Error())
		return
	}
	g.solve("state")
}

// stateChanged writes the numbers of containers at once; a guard that follows needs them.
func (g *Guard) stateChanged() {
	if !g.state.HeartbeatAt.IsZero() {
		g.beat()
	}
}

func (g *Guard) writeState() error {
	s := &g.state
	if s.PID == 0 {
		s.SchemaVersion, s.PID, s.Version, s.Since = run.Schema, os.Getpid(), g.o.Version, time.Now().UTC()
		s.StartTime, s.Kernel = run.StartTime(s.PID), kernelRelease()
		s.Table, s.Tag, s.Mark, s.Group = g.env.Table, g.tag(), g.env.Mark, g.env.Group
	}
	s.Features, s.Missing = g.features()
	s.Sources = s.Features
	s.Uplinks, s.Pool, s.Pool6 = g.facts.Uplinks, g.pool.Pool4.String(), g.pool.Pool6.String()
	s.Problems = g.allProblems()
	if g.upstream != nil {
		s.Upstream = g.upstream.Last()
	}
	return run.Write(filepath.Join(g.o.Dir, run.NetguardFile), s)
}
