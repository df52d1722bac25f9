// Package alias is aliases.json: short names of workspaces.
package alias

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Entry is what an alias stands for.
type Entry struct {
	Workspace string `json:"workspace"`
	Profile   string `json:"profile"`
}

// Registry is the content of aliases.json.
type Registry struct {
	SchemaVersion int              `json:"schema_version"`
	Aliases       map[string]Entry `json:"aliases"`
}

func path(h home.Home) string { return h.Path("aliases.json") }

// Read reads the registry; a missing file is an empty one.
func Read(h home.Home) (Registry, error) {
	r := Registry{SchemaVersion: run.Schema, Aliases: map[string]Entry{}}
	err := home.ReadJSON(path(h), run.Schema, &r)
	if home.Missing(err) {
		err = nil
	}
	if r.Aliases == nil {
		r.Aliases = map[string]Entry{}
	}
	return r, err
}

// Set stores an alias.
func Set(h home.Home, name string, e Entry) error {
	r, err := Read(h)
	if err != nil {
		return err
	}
	if old, ok := r.Aliases[name]; ok && old == e {
		return nil
	}
	r.Aliases[name] = e
	return home.WriteJSON(path(h), r, true)
}

var valid = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// Valid reports whether name may be an alias with this container prefix.
func Valid(name, prefix string) bool {
	return valid.MatchString(name) && !strings.HasPrefix(name, prefix) && name != "verify" && name != "summary"
}

// Split takes NAME-N apart. slot is 0 when there is none.
func Split(name string) (alias string, slot int) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return name, 0
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || n < 1 || n > 10 || strconv.Itoa(n) != name[i+1:] {
		return name, 0
	}
	return name[:i], n
}
