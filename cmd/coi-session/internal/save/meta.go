// Package save keeps an agent's conversation on the host: a tar stream from the
// container becomes a directory below ~/.coi/sessions-<tool>, replaced as a
// whole or not at all, and goes back into a fresh container when the session is
// resumed.
//
// Call order: Begin when a session starts; Save at the end, and now and then;
// List and Find for resume; Restore into the new container. Recover is called
// by all of them.
package save

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

const (
	schema   = 1
	metaName = "metadata.json"
)

// Meta is metadata.json of a saved session.
type Meta struct {
	SchemaVersion int       `json:"schema_version"`
	SessionID     string    `json:"session_id"`
	ContainerName string    `json:"container_name"`
	Workspace     string    `json:"workspace"`
	Identity      string    `json:"identity"`
	Tool          string    `json:"tool"`
	ProfileName   string    `json:"profile_name"`
	Persistent    bool      `json:"persistent"`
	Slot          int       `json:"slot"`
	Image         string    `json:"image"`
	ResumeID      string    `json:"resume_id"`
	SavedAt       time.Time `json:"saved_at"`
	SizeBytes     int64     `json:"size_bytes"`
}

// Saved is one session on disk.
type Saved struct {
	Meta
	Dir string // absolute
}

var idRE = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ErrID is returned for a session id that is no UUID; ids become file names.
var ErrID = errors.New("not a session id")

// Dir is where the sessions of a tool are: <sessions>-<tool>.
func Dir(sessions, tool string) string { return sessions + "-" + tool }

// target checks the id and makes the directory of the tool.
func target(sessions string, m Meta) (dir string, err error) {
	if !idRE.MatchString(m.SessionID) {
		return "", fmt.Errorf("%q: %w", m.SessionID, ErrID)
	}
	dir = Dir(sessions, m.Tool)
	if err := os.MkdirAll(dir, home.DirMode); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, home.DirMode); err != nil {
		return "", err
	}
	return dir, Recover(dir)
}

// Begin writes metadata.json of a session that starts. What was saved earlier
// under this id stays.
func Begin(sessions string, m Meta) error {
	dir, err := target(sessions, m)
	if err != nil {
		return err
	}
	own := filepath.Join(dir, m.SessionID)
	if err := os.Mkdir(own, home.DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var old Meta
	if err := home.ReadJSON(filepath.Join(own, metaName), schema, &old); err == nil {
		m.SizeBytes = old.SizeBytes
		if m.ResumeID == "" {
			m.ResumeID = old.ResumeID
		}
	}
	return writeMeta(own, m)
}

func writeMeta(dir string, m Meta) error {
	m.SchemaVersion = schema
	if m.SavedAt.IsZero() {
		m.SavedAt = time.Now()
	}
	return home.WriteJSON(filepath.Join(dir, metaName), m, true)
}

// Recover finishes what an interrupted save left in dir: an old save without a
// new one is renamed back, else the old one is removed. While another process
// is putting a save in place it does nothing.
func Recover(dir string) error {
	lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var bad error
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), ".")
		old, isOld := strings.CutSuffix(id, ".old")
		if !ok || !isOld || !idRE.MatchString(old) {
			continue
		}
		left := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(dir, old)); errors.Is(err, fs.ErrNotExist) {
			bad = errors.Join(bad, os.Rename(left, filepath.Join(dir, old)))
		} else {
			bad = errors.Join(bad, os.RemoveAll(left))
		}
	}
	return bad
}

// List gives all saved sessions of all tools, newest first. Directories without
// readable metadata are told in problems.
func List(sessions string) (saved []Saved, problems []string, err error) {
	parent, base := filepath.Split(sessions)
	dirs, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, d := range dirs {
		if !d.IsDir() || !strings.HasPrefix(d.Name(), base+"-") {
			continue
		}
		dir := filepath.Join(parent, d.Name())
		if err := Recover(dir); err != nil {
			problems = append(problems, cli.Escape(err.Error()))
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			problems = append(problems, cli.Escape(err.Error()))
		}
		for _, e := range entries {
			if !idRE.MatchString(e.Name()) {
				continue
			}
			s := Saved{Dir: filepath.Join(dir, e.Name())}
			if err := home.ReadJSON(filepath.Join(s.Dir, metaName), schema, &s.Meta); err != nil {
				problems = append(problems, cli.Escape(err.Error()))
				continue
			}
			s.SessionID = e.Name()
			saved = append(saved, s)
		}
	}
	slices.SortStableFunc(saved, func(a, b Saved) int { return b.SavedAt.Compare(a.SavedAt) })
	return saved, problems, nil
}

// Query says which saved session is wanted.
type Query struct {
	ID        string // full id or a start of at least four characters; empty: the newest
	Identity  string // of the workspace in use
	Tool      string // for the newest one
	ToolTyped bool   // Tool was given on the command line: another tool's session is refused
}

// minPrefix is the shortest start of an id that is accepted.
const minPrefix = 4

// Find picks a saved session. Errors have exit code 1 and a hint.
func Find(sessions string, q Query) (Saved, error) {
	all, _, err := List(sessions)
	if err != nil {
		return Saved{}, cli.Fail(coi.ExitFailed, "saved sessions: %w", err)
	}
	if q.ID == "" {
		for _, s := range all {
			if s.Identity == q.Identity && s.Tool == q.Tool {
				return s, nil
			}
		}
		return Saved{}, cli.Fail(coi.ExitFailed, "no saved session of %s for this workspace", q.Tool).Hint("coi list --all")
	}
	if len(q.ID) < minPrefix {
		return Saved{}, cli.Fail(coi.ExitFailed, "session id %s is too short", cli.Escape(q.ID)).Hint("give at least %d characters, see coi list --all", minPrefix)
	}
	var hits []Saved
	for _, s := range all {
		if strings.HasPrefix(s.SessionID, q.ID) {
			hits = append(hits, s)
		}
	}
	switch {
	case len(hits) == 0:
		return Saved{}, cli.Fail(coi.ExitFailed, "no saved session %s", cli.Escape(q.ID)).Hint("coi list --all")
	case len(hits) > 1:
		return Saved{}, cli.Fail(coi.ExitFailed, "%s fits %d saved sessions", cli.Escape(q.ID), len(hits)).Hint("give more of the id, see coi list --all")
	}
	s := hits[0]
	if s.Identity != q.Identity {
		return Saved{}, cli.Fail(coi.ExitFailed, "session %s belongs to %s", s.SessionID, cli.Escape(s.Workspace)).
			Hint("coi shell --resume=%s -w %s", s.SessionID, cli.ShellQuote(s.Workspace))
	}
	if q.ToolTyped && s.Tool != q.Tool {
		return Saved{}, cli.Fail(coi.ExitFailed, "session %s is one of %s", s.SessionID, cli.Escape(s.Tool)).Hint("leave out --tool")
	}
	return s, nil
}

// Open opens what was saved, for package tool's search for a conversation id.
func (s Saved) Open() (*beneath.Root, error) {
	real, err := filepath.EvalSymlinks(s.Dir)
	if err != nil {
		return nil, err
	}
	return beneath.Open(real)
}
