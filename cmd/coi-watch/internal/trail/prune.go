package trail

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/run"
)

// pruneEvery is how often it is looked for what is kept for long enough.
const pruneEvery = time.Hour

// prune lets go of parts of a container's trail that are older than its session
// keeps them, and of the trails of containers that are gone for as long as any
// session here would keep them.
func (t *Trail) prune(w *writer, a *audit.Appender) {
	own, longest, gone := t.due(w)
	if _, err := a.Prune(own, 0); err != nil {
		t.logf("%v", err)
	}
	if !gone {
		return
	}
	if _, err := audit.PruneGone(t.home, t.known, longest, time.Now()); err != nil {
		t.logf("prune trails of gone containers: %v", err)
	}
}

// due is for how many days one trail is kept, and the longest-kept of all, 0 for
// ever; gone says that it is time to look for trails of containers that are
// gone, which one of the writers does for all.
func (t *Trail) due(of *writer) (own, longest int, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Half of it: a timer that fires a moment early must not wait for another round.
	if now := time.Now(); now.Sub(t.looked) >= pruneEvery/2 {
		t.looked, gone = now, true
	}
	own, longest = of.days, of.days
	for _, w := range t.each {
		if w.days <= 0 || longest <= 0 {
			return own, 0, gone
		}
		longest = max(longest, w.days)
	}
	return own, longest, gone
}

// known reports whether a container is watched or has a session's record.
func (t *Trail) known(container string) bool {
	t.mu.Lock()
	watched := t.each[container] != nil
	t.mu.Unlock()
	_, err := os.Lstat(t.home.Run(container + run.SessionFile))
	return watched || !errors.Is(err, fs.ErrNotExist)
}
