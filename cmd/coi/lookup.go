package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
)

// ownDirs are the directories where coi's own tools live: beside the
// dispatcher, and ../libexec/coi from there.
func (w world) ownDirs() []string {
	dir := dirOf(w.self)
	return []string{dir, filepath.Join(dir, "..", "libexec", "coi")}
}

func dirOf(path string) string { return filepath.Dir(path) }

// find returns the program of a verb: beside us, in libexec, and only for a
// verb that is none of ours on PATH. Empty means that there is no such verb; an
// error, that one of our own is not installed.
func (w world) find(verb string) (string, error) {
	for _, dir := range w.ownDirs() {
		p := filepath.Join(dir, "coi-"+verb)
		if _, err := os.Lstat(p); err == nil {
			return p, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	if _, ours := verbs.Find(verb); ours {
		return "", fmt.Errorf("not found in %s", strings.Join(w.ownDirs(), " or "))
	}
	for _, dir := range w.path {
		if p := filepath.Join(dir, "coi-"+verb); executable(p) {
			return p, nil
		}
	}
	return "", nil
}

// searchPath keeps the directories of PATH that are safe to search: absolute,
// and writable by their owner and group alone.
func searchPath(path string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if st, err := os.Stat(dir); err == nil && st.IsDir() && st.Mode().Perm()&0o002 == 0 {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 && st.Mode().Perm()&0o002 == 0
}

// external maps each verb found only on PATH to its program.
func (w world) external() map[string]string {
	found := map[string]string{}
	for _, dir := range w.path {
		matches, err := filepath.Glob(filepath.Join(dir, "coi-*"))
		if err != nil {
			continue // the directory's own name holds a pattern
		}
		for _, p := range matches {
			verb := strings.TrimPrefix(filepath.Base(p), "coi-")
			if p2, err := w.find(verb); err == nil && p2 == p && isVerb(verb) && !w.program(verb) {
				found[verb] = p
			}
		}
	}
	return found
}

// program reports whether coi-<name> is one of our binaries rather than a verb,
// such as coi-session.
func (w world) program(name string) bool {
	for _, v := range verbs.All {
		if v.Program == "coi-"+name {
			return true
		}
	}
	return false
}

func (w world) listCommands(which string) int {
	var list []string
	if which == "" || which == "builtin" || which == "all" {
		list = names(verbs.All)
	}
	if which == "external" || which == "all" {
		for verb := range w.external() {
			list = append(list, verb)
		}
	}
	if list == nil && which != "external" {
		return w.fail(exitUsage, fmt.Sprintf("--list-cmds=%q: not a list", which), "use builtin, external or all")
	}
	sort.Strings(list)
	for _, verb := range list {
		w.say(verb)
	}
	return exitOK
}
