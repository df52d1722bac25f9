package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// MaxTrail is how many bytes of parts one container may keep.
const MaxTrail = 1 << 30

// Prune deletes whole rotated parts of a container's trail whose last record
// is older than days, and the oldest ones while all together exceed maxBytes
// (MaxTrail when 0). Before a part goes, a chain.pruned record with its first
// and last seq and its last hash is in the trail. days of 0 means no limit of
// age. It returns the names of the deleted parts.
func (a *Appender) Prune(days int, maxBytes int64) ([]string, error) {
	if maxBytes <= 0 {
		maxBytes = MaxTrail
	}
	parts, err := Parts(a.store.home, a.container)
	if err != nil {
		return nil, err
	}
	goes := outdated(parts, days, maxBytes, a.opts.Now())
	if len(goes) == 0 {
		return nil, nil
	}
	last, err := goes[len(goes)-1].last()
	if err != nil {
		return nil, err
	}
	first := goes[0].First
	if _, err := a.Append(prunedRecord(first, last.seq, last.hash)); err != nil {
		return nil, fmt.Errorf("prune %s: %w", a.container, err)
	}
	var names []string
	for _, p := range goes {
		if err := os.Remove(p.Path); err != nil {
			return names, err
		}
		names = append(names, p.Name)
	}
	return names, nil
}

func prunedRecord(first, last int, hash string) Record {
	return Record{
		Type: TypeAudit, Level: coi.Info, Category: CategoryChain, Rule: "chain.pruned", Action: Logged,
		Title:    fmt.Sprintf("records %d to %d pruned", first, last),
		Evidence: map[string]any{"first": first, "last": last, "hash": hash},
	}
}

// outdated picks the parts that go: always the oldest, never one in between.
func outdated(parts []Part, days int, maxBytes int64, now time.Time) []Part {
	sizes := make([]int64, len(parts))
	times := make([]time.Time, len(parts))
	var total int64
	for i, p := range parts {
		if st, err := os.Lstat(p.Path); err == nil {
			sizes[i], times[i] = st.Size(), st.ModTime()
			total += st.Size()
		}
	}
	n := 0
	for ; n < len(parts); n++ {
		old := days > 0 && now.Sub(times[n]) > time.Duration(days)*24*time.Hour
		if !old && total <= maxBytes {
			break
		}
		total -= sizes[n]
	}
	return parts[:n]
}

// PruneGone deletes the whole trail of containers that exists does not know
// and whose trail was last written more than days ago. It returns their names.
func PruneGone(h home.Home, exists func(container string) bool, days int, now time.Time) ([]string, error) {
	if days <= 0 {
		return nil, nil
	}
	names, err := Containers(h)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, c := range names {
		if exists(c) || !allOlder(h, c, now.AddDate(0, 0, -days)) {
			continue
		}
		if err := removeTrail(h, c); err != nil {
			return gone, err
		}
		gone = append(gone, c)
	}
	return gone, nil
}

func allOlder(h home.Home, container string, than time.Time) bool {
	files, err := Files(h, container)
	if err != nil {
		return false
	}
	for _, f := range files {
		if st, err := os.Lstat(f.Path); err != nil || st.ModTime().After(than) {
			return false
		}
	}
	return true
}

func removeTrail(h home.Home, container string) error {
	lock, err := home.TryLock(h.Audit(container + ".jsonl.lock"))
	if errors.Is(err, home.ErrLocked) {
		return nil // somebody is writing: the container is not gone
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	entries, err := os.ReadDir(h.Audit())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if stem, rest, ok := strings.Cut(e.Name(), "."); ok && stem == container && rest != "" {
			err = errors.Join(err, os.Remove(filepath.Join(h.Audit(), e.Name())))
		}
	}
	return err
}
