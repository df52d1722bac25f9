package scene

import (
	"fmt"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

// Sums are the contents of program files that all containers of an image have:
// each is read once, not again at every start. A copy of an image by the file
// system keeps inode numbers and times. It is safe for concurrent use.
type Sums struct {
	mu    sync.Mutex
	known map[sumKey]string
}

type sumKey struct {
	ino              uint64
	size             int64
	changed, written int64 // ns
}

// before is how long before its container was made a file must have changed last
// to be one of the image's.
const before = 2 * time.Second

// of is the SHA-256 of a file. What can have been changed since its container was
// made is read anew and not kept: only of older files no container can choose
// number and time.
func (s *Sums) of(root *inside.Root, in inside.Info, made time.Time) (string, error) {
	key := sumKey{in.Ino, in.Size, in.Changed.UnixNano(), in.Mtime.UnixNano()}
	old := in.Changed.Before(made.Add(-before))
	if old {
		s.mu.Lock()
		sum, ok := s.known[key]
		s.mu.Unlock()
		if ok {
			return sum, nil
		}
	}
	sum, now, err := root.Sum(in.Path, MaxImage)
	if err == nil && now != in {
		err = fmt.Errorf("%s changed while it was read", in.Path)
	}
	if err != nil || !old {
		return sum, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxImages {
		s.known = map[sumKey]string{}
	}
	s.known[key] = sum
	return sum, nil
}
