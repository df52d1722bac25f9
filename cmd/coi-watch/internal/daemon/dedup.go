package daemon

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// dedupWindow is how long the same finding is written down once.
const dedupWindow = 30 * time.Second

// maxDedup bounds the memory of findings.
const maxDedup = 4096

type dedupEntry struct {
	at    time.Time
	count int
}

// dedup recognises findings that say the same thing again: rule, program,
// arguments and destination.
type dedup struct{ last map[uint64]dedupEntry }

// seen counts a finding; again says that the same one was written down within
// the window, n how often it came.
func (d *dedup) seen(f detect.Finding, ev event.Event, now time.Time) (n int, again bool) {
	if d.last == nil || len(d.last) >= maxDedup {
		d.last = map[uint64]dedupEntry{}
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q %q %q %q %q %d", f.Rule, ev.Exe, ev.Argv, f.Path, f.Peer, f.Port)
	key := h.Sum64()
	e, ok := d.last[key]
	if ok && now.Sub(e.at) < dedupWindow {
		e.count++
		d.last[key] = e
		return e.count, true
	}
	d.last[key] = dedupEntry{now, 1}
	return 1, false
}

func (d *dedup) clear() { d.last = nil }
