// Package allow is the list of findings that a person said are fine:
// ~/.coi/watch-allow.toml. It is read only from the user's own file, never
// from a project.
package allow

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/home"
)

// MaxShort is the longest that findings may be allowed which have no benign
// explanation.
const MaxShort = time.Hour

// Entry is one allowed finding.
type Entry struct {
	Rule      string    `toml:"rule" json:"rule"`
	Program   string    `toml:"program,omitempty" json:"program,omitempty"`
	SHA       string    `toml:"sha256,omitempty" json:"sha256,omitempty"`
	Argv      []string  `toml:"argv,omitempty" json:"argv,omitempty"`
	AnyArgs   bool      `toml:"any_args,omitempty" json:"any_args,omitempty"`
	Workspace string    `toml:"workspace,omitempty" json:"workspace,omitempty"` // host path; empty: everywhere
	Session   string    `toml:"session,omitempty" json:"session,omitempty"`     // only in this session
	Until     time.Time `toml:"until,omitempty" json:"until,omitzero"`
	Note      string    `toml:"note,omitempty" json:"note,omitempty"`
}

// file is the form of watch-allow.toml.
type file struct {
	SchemaVersion int     `toml:"schema_version"`
	Allow         []Entry `toml:"allow"`
}

// Path of the list.
func Path(h home.Home) string { return h.Path("watch-allow.toml") }

// Load reads the list. A missing file is an empty list; a file that others may
// write is refused.
func Load(h home.Home) ([]Entry, error) {
	b, err := home.ReadFile(Path(h))
	if home.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return Parse(b)
}

// Parse reads the text of a list.
func Parse(b []byte) ([]Entry, error) {
	var f file
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("watch-allow.toml: %w", err)
	}
	if f.SchemaVersion > 1 {
		return nil, errors.New("watch-allow.toml: made by a newer version")
	}
	for i, e := range f.Allow {
		if e.Rule == "" {
			return nil, fmt.Errorf("watch-allow.toml: entry %d names no rule", i+1)
		}
		if Grave(e.Rule) && (e.Until.IsZero() || e.Session != "") {
			return nil, fmt.Errorf("watch-allow.toml: entry %d: %s can be allowed for at most an hour", i+1, e.Rule)
		}
	}
	return f.Allow, nil
}

// Save replaces the list.
func Save(h home.Home, entries []Entry) error {
	if _, err := h.Ensure(h.Dir); err != nil {
		return err
	}
	b, err := toml.Marshal(file{1, entries})
	if err != nil {
		return err
	}
	return home.WriteFile(Path(h), b)
}

// grave are rules of level critical beside the escapes.
var grave = []string{"shell.net-stdio", "shell.net-relay", "shell.devtcp", "shell.relay-tool", "shell.inline"}

// Grave reports whether a rule may be allowed for an hour at most.
func Grave(rule string) bool {
	return strings.HasPrefix(rule, "escape.") || slices.Contains(grave, rule)
}

// Over reports whether an entry covers nothing any more: its time is over, or its
// session, of which live has those that are not.
func (e Entry) Over(live map[string]bool, now time.Time) bool {
	return !e.Until.IsZero() && now.After(e.Until) || e.Session != "" && !live[e.Session]
}

// Matches reports whether an entry covers a finding.
func (e Entry) Matches(f detect.Finding, ev event.Event, workspace, session string, now time.Time) bool {
	switch {
	case e.Rule != f.Rule,
		!e.Until.IsZero() && now.After(e.Until),
		e.Session != "" && e.Session != session,
		e.Workspace != "" && e.Workspace != workspace,
		e.SHA != "" && e.SHA != ev.ExeSHA,
		e.SHA == "" && e.Program != "" && e.Program != ev.Exe:
		return false
	}
	return e.AnyArgs || slices.Equal(e.Argv, ev.Argv)
}

// List is the list as the daemon uses it: read again when the file changed.
type List struct {
	home    home.Home
	entries []Entry
	mtime   time.Time
	Problem error
}

// NewList returns the list of a home.
func NewList(h home.Home) *List { return &List{home: h} }

// Find returns the first entry that covers a finding. sha is asked for the
// content of the program when an entry depends on it and the event has none.
func (l *List) Find(f detect.Finding, ev event.Event, workspace, session string, now time.Time, sha func() string) (Entry, bool) {
	st, err := os.Lstat(Path(l.home))
	switch {
	case err != nil:
		l.entries, l.mtime = nil, time.Time{}
	case !st.ModTime().Equal(l.mtime):
		l.entries, l.Problem = Load(l.home) // a broken list allows nothing
		l.mtime = st.ModTime()
	}
	for _, e := range l.entries {
		if e.Rule == f.Rule && e.SHA != "" && ev.ExeSHA == "" {
			ev.ExeSHA = sha()
		}
		if e.Matches(f, ev, workspace, session, now) {
			return e, true
		}
	}
	return Entry{}, false
}
