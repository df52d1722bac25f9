package guard

import (
	"errors"
	"time"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// drill takes the rules of the echo chain of a probe container out of the kernel
// behind the guard's own back, and answers with how long it took until they were
// found missing and were back. No other container is touched. It reports whether
// there was a drill.
func (g *Guard) drill(b *box, number int) bool {
	if number <= b.status.Drill || !run.IsProbe(b.name) || !b.inSet {
		return false
	}
	took, err := g.damage(b)
	if err != nil {
		g.o.Recorder.Log(b.name, true, "drill: "+err.Error())
	}
	// Both in one answer: rewriting counts, and counting writes the status.
	b.status.Drill, b.status.DrillUS = number, took.Microseconds()
	g.verifyQuietly()
	g.writeStatus(b)
	return true
}

func (g *Guard) damage(b *box) (time.Duration, error) {
	var batch nft.Batch
	batch.FlushChain(g.env.Table, b.policy.Chain("e"))
	if err := g.conn.Commit(&batch); err != nil {
		return 0, err
	}
	start := time.Now()
	diff, err := g.compare()
	if err != nil {
		return 0, err
	}
	if len(diff) == 0 {
		return 0, errors.New("the comparison did not find what was removed")
	}
	old, err := g.read.Table(g.env.Table, keepable)
	if err != nil {
		return 0, err
	}
	if err := g.rewrite(old); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
