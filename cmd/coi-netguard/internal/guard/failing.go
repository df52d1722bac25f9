package guard

import (
	"sync"
	"time"
)

// unresolved are the results of questions for names that the policy allows and
// that have no address all the same, in words.
var unresolved = map[string]string{"upstream": "no name server answers", "nxdomain": "there is no such name"}

// A name that cannot be resolved is told of once in failingEvery, and of
// failingNames names at most: a container makes up as many as it likes.
const (
	failingEvery = 10 * time.Minute
	failingNames = 64
)

// failing are the names that were told of lately. It is safe for concurrent use.
type failing struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// news reports whether to tell of a name now.
func (f *failing) news(name string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.told[name]; ok && now.Sub(at) < failingEvery {
		return false
	}
	for n, at := range f.told {
		if now.Sub(at) >= failingEvery {
			delete(f.told, n)
		}
	}
	if len(f.told) >= failingNames {
		return false
	}
	if f.told == nil {
		f.told = map[string]time.Time{}
	}
	f.told[name] = now
	return true
}
