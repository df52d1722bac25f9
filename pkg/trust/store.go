package trust

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
)

// Schema is the schema_version of the store that this house writes.
const Schema = 1

// Approval is what the user said yes to for one file.
type Approval struct {
	Fingerprint string    `toml:"fingerprint"`
	ApprovedAt  time.Time `toml:"approved_at"`
	Items       []string  `toml:"items"` // in words, as they were shown
}

// Store is ~/.coi/trust.toml: approvals by the absolute path of the file that asked.
type Store struct {
	SchemaVersion int                 `toml:"schema_version"`
	Approvals     map[string]Approval `toml:"approvals"`
}

// Load reads the store. A missing one is empty. On an error (another owner,
// writable by others, a link, bad syntax, a newer schema) the store is empty
// too, so nothing is trusted, and the error says why.
func Load(path string) (Store, error) {
	empty := Store{Schema, map[string]Approval{}}
	f, err := home.Open(path)
	if home.Missing(err) {
		return empty, nil
	}
	if err != nil {
		return empty, err
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err != nil || st.Mode().Perm()&0o022 != 0 {
		return empty, fmt.Errorf("%s: %w: writable by others", path, home.ErrUnsafe)
	}
	b, err := home.ReadCapped(f, home.MaxFile)
	if err != nil {
		return empty, err
	}
	s := Store{}
	if err := toml.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return empty, fmt.Errorf("%s: %w", path, err)
	}
	if s.SchemaVersion > Schema {
		return empty, fmt.Errorf("%s: schema_version %d is newer than this program understands (%d)", path, s.SchemaVersion, Schema)
	}
	if s.Approvals == nil {
		s.Approvals = map[string]Approval{}
	}
	return s, nil
}

// Approved reports whether file was approved with exactly these items, and
// whether it was approved with others.
func (s Store) Approved(file string, items []Item) (approved, changed bool) {
	a, ok := s.Approvals[file]
	if !ok {
		return false, false
	}
	approved = a.Fingerprint == Fingerprint(items)
	return approved, !approved
}

// Paths lists the approved files, sorted.
func (s Store) Paths() []string { return slices.Sorted(maps.Keys(s.Approvals)) }

// Update changes the store under a lock, so that two programs do not lose
// each other's approvals. A store that Load refuses is not overwritten.
func Update(h home.Home, change func(*Store) error) error {
	if _, err := h.Ensure(h.Dir); err != nil {
		return err
	}
	unlock, err := lock(h.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Load(h.Trust())
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	s.SchemaVersion = Schema
	b, err := toml.Marshal(s)
	if err != nil {
		return fmt.Errorf("write %s: %w", h.Trust(), err)
	}
	return home.WriteFile(h.Trust(), b)
}

// lock holds ~/.coi itself, which needs no file of its own.
func lock(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = unix.Close(fd) }, nil
}
