package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/build"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// Of the bases that all members of a cluster see, clean lists those of this home
// on this machine, and none while a build of this home may use them; what was
// listed before such a build began stays as well.
func TestCleanListsOwnBases(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), UID: os.Getuid(), Prefix: "coi-"}
	base := func(name, dir, member string) map[string]any {
		return map[string]any{"fingerprint": name, "properties": map[string]string{
			"coi.step": "coi-build", "coi.step.inputs": "x", "coi.step.owner": strconv.Itoa(h.UID), "coi.step.home": dir, "coi.step.member": member,
		}}
	}
	all := []any{
		base("here", h.Dir, "node1"), base("there", h.Dir, "node2"), base("other-home", "/srv/coi", "node1"),
		map[string]any{"fingerprint": "old", "properties": map[string]string{"coi.step": "coi-build", "coi.step.inputs": "x"}},
		map[string]any{"fingerprint": "foreign"},
	}
	var deleted []string
	handlers := map[string]http.HandlerFunc{
		"/1.0/images": func(w http.ResponseWriter, _ *http.Request) { answer(w, all) },
		"DELETE /1.0/images/{name}": func(w http.ResponseWriter, r *http.Request) {
			deleted = append(deleted, r.PathValue("name"))
			w.WriteHeader(http.StatusNotFound) // somebody was faster, which is no error
			answer(w, nil)
		},
	}
	for member, want := range map[string][]string{"node1": {"here"}, "node2": {"there"}, "node3": nil, "": {"here", "old", "there"}} {
		d := &desk{c: &cli.Context{Context: t.Context()}, cfg: &config.Config{}, home: h, door: pretended(t, member, handlers)}
		g, err := d.keptBases()
		slices.Sort(g.items)
		if err != nil || !slices.Equal(g.items, want) {
			t.Errorf("bases on %q = %v, %v; want %v", member, g.items, err, want)
		}
	}

	d := &desk{c: &cli.Context{Context: t.Context()}, cfg: &config.Config{}, home: h, door: pretended(t, "node1", handlers)}
	listed, err := d.keptBases()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ensure(filepath.Dir(build.LockPath(h))); err != nil {
		t.Fatal(err)
	}
	lock, err := home.TryLock(build.LockPath(h))
	if err != nil {
		t.Fatal(err)
	}
	if g, err := d.keptBases(); err != nil || len(g.items) > 0 {
		t.Errorf("bases while a build runs = %v, %v; want none", g.items, err)
	}
	if err := listed.clear("here"); err == nil || !strings.Contains(err.Error(), "build") || len(deleted) > 0 {
		t.Errorf("removing one while a build runs = %v, deleted %v; want a refusal", err, deleted)
	}
	lock.Unlock()
	if _ = listed.clear("here"); !slices.Equal(deleted, []string{"here"}) {
		t.Errorf("deleted %v; want here", deleted)
	}
}
