package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
)

// oldKeys are keys of earlier versions and where they went.
var oldKeys = map[string]string{
	"defaults.image": "container.image", "defaults.persistent": "container.persistent", "image": "container.image", "persistent": "container.persistent",
	"defaults.model": "tool.claude.model", "model": "tool.claude.model",
}

// oldKey answers keys of earlier versions with their new place.
func (dec *decoder) oldKey(path []string, key string) bool {
	if now, ok := oldKeys[key]; ok {
		dec.problem(path, key, "move it to "+now, "was moved to %s", now)
		return true
	}
	if path[0] != "build" || len(path) > 1 {
		return false
	}
	dec.problem(path, "build", "rename [build] to [container.build]", "was moved to container.build")
	return true
}

// oldLayout warns of places where earlier versions kept their files.
func oldLayout(h home.Home, workspace string) (warn, note []Warning) {
	for dir, where := range map[string]string{h.User: filepath.Dir(h.Dir), workspace: workspace} {
		if dir == "" || dir == h.User && h.Custom != "" {
			continue
		}
		warn = append(warn, oldProfiles(where, dir == h.User, h)...)
	}
	slices.SortFunc(warn, func(a, b Warning) int { return strings.Compare(a.Text, b.Text) })
	if workspace == "" {
		return warn, nil
	}
	old := filepath.Join(workspace, ".coi.toml")
	if !exists(old) {
		return warn, nil
	}
	if exists(filepath.Join(workspace, ".coi", "config.toml")) {
		return warn, []Warning{{Text: old + " is unused: .coi/config.toml is read instead"}}
	}
	return append(warn, Warning{Text: old + " is not applied: the project's configuration is .coi/config.toml now", Hints: []string{"mkdir -p .coi", "mv .coi.toml .coi/config.toml"}}), nil
}

func oldProfiles(dir string, user bool, h home.Home) []Warning {
	old := filepath.Join(dir, ".coi-profiles")
	if !exists(old) {
		return nil
	}
	move := "mkdir -p .coi && mv .coi-profiles .coi/profiles"
	if user {
		move = fmt.Sprintf("mkdir -p %s && mv %s %s", h.Shorten(h.Dir), h.Shorten(old), h.Shorten(h.Profiles()))
	}
	return []Warning{{Text: old + " is not read any more", Hints: []string{move}}}
}
