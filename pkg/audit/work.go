package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
)

// work is the only goroutine that touches the files. Callers wait for it no
// longer than MaxWait, so a disk that hangs does not hang them.
func (a *Appender) work() {
	defer close(a.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(a.nextWake())
		select {
		case _, open := <-a.wake:
			if !open {
				a.write()
				a.store.close()
				return
			}
			a.write()
		case <-timer.C:
			if a.Problem() != nil {
				a.write()
			}
			a.housekeep()
		}
	}
}

// nextWake is how long the worker may sleep when nothing comes.
func (a *Appender) nextWake() time.Duration {
	wait := 24 * time.Hour
	if a.Problem() != nil {
		wait = retryEvery
	}
	if a.store.dirty {
		wait = min(wait, syncEvery)
	}
	if due, ok := a.store.anchorDue(); ok {
		wait = min(wait, max(time.Until(due), time.Millisecond))
	}
	return wait
}

func (a *Appender) housekeep() {
	a.store.sync()
	if due, ok := a.store.anchorDue(); ok && !time.Now().Before(due) {
		a.store.anchor()
	}
}

// write takes all that waits to the file, in as few locks as possible.
func (a *Appender) write() {
	for {
		a.mu.Lock()
		batches, lost, had := a.queue, a.lost, a.problem
		a.queue = nil
		a.mu.Unlock()
		if len(batches) == 0 && lost == 0 {
			return
		}
		var recs []*Record
		for _, b := range batches {
			for i := range b.recs {
				recs = append(recs, &b.recs[i])
			}
		}
		if lost > 0 {
			r := a.lostRecord(lost)
			recs = append(recs, &r)
		}
		err := a.store.append(recs)
		if !a.settle(batches, lost, had, err) {
			return
		}
	}
}

// lostRecord says how many records never came to the file.
func (a *Appender) lostRecord(n int) Record {
	return a.fill(Record{
		Type: TypeAudit, Level: coi.High, Category: CategoryChain, Rule: "chain.lost", Action: Alerted,
		Title:       fmt.Sprintf("%d audit records lost", n),
		Description: "the trail could not be written for a while and memory held no more records",
		N:           &Numbers{Value: float64(n)},
	}, "")
}

// settle gives the written batches back to their callers and puts the others
// back at the front. It reports whether there may be more to write.
func (a *Appender) settle(batches []*batch, lost int, had, err error) bool {
	a.mu.Lock()
	var rest []*batch
	for _, b := range batches {
		left := unwritten(b)
		a.waiting -= len(b.recs) - left
		if left == 0 {
			b.answer(nil)
			continue
		}
		b.answer(err)
		b.recs = keepUnwritten(b.recs, left)
		rest = append(rest, b)
	}
	a.queue = append(rest, a.queue...)
	if err == nil || errors.Is(err, errPartly) {
		a.lost -= lost
	}
	a.problem = err
	a.shed()
	more := err == nil && len(a.queue) > 0
	a.mu.Unlock()
	if changed := (had == nil) != (err == nil); changed && a.opts.Report != nil {
		a.opts.Report(err)
	}
	return more
}

// answer tells the caller once; later answers find nobody waiting.
func (b *batch) answer(err error) {
	select {
	case b.done <- err:
	default:
	}
}

func unwritten(b *batch) int {
	n := 0
	for i := range b.recs {
		if b.recs[i].Seq == 0 {
			n++
		}
	}
	return n
}

func keepUnwritten(recs []Record, n int) []Record {
	if n == len(recs) {
		return recs
	}
	out := make([]Record, 0, n)
	for i := range recs {
		if recs[i].Seq == 0 {
			out = append(out, recs[i])
		}
	}
	return out
}
