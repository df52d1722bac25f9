package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/run"
)

// Watch §16: the list has every rule with its hits, over all that is watched, and
// reads rule files from where the sessions have them.
func TestRulesListHasHitsAndFolders(t *testing.T) {
	coiDir, rules := filepath.Join(t.TempDir(), "coi"), t.TempDir()
	dir := filepath.Join(coiDir, "run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(file string, v any) {
		t.Helper()
		if err := run.Write(filepath.Join(dir, file), v); err != nil {
			t.Fatal(err)
		}
	}
	for name, hits := range map[string]int{"coi-1-1": 2, "coi-1-2": 5} {
		v := view.New(name)
		v.Hits = map[string]int{"cred.shadow": hits}
		put(name+run.WatchViewFile, v)
		put(name+run.WatchFile, run.Watch{SchemaVersion: run.Schema, Container: name, Settings: run.WatchSettings{PatternsDir: rules}})
	}
	pattern := "[[pattern]]\nid = \"acme.deploy\"\ntitle = \"deploy key\"\nlevel = \"warning\"\nexec = { class = \"ssh\", argv = 're:deploy' }\nfire = [\"ssh -i deploy host\"]\nquiet = [\"ssh host\"]\n"
	if err := os.WriteFile(filepath.Join(rules, "a.toml"), []byte(pattern), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := watchIn(t, coiDir, "rules", "list", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var got struct {
		Rules []struct {
			ID     string
			Hits   int
			Loaded bool
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range got.Rules {
		if r.Loaded {
			seen[r.ID] = r.Hits
		}
	}
	if n, ok := seen["pattern:acme.deploy"]; seen["cred.shadow"] != 7 || !ok || n != 0 {
		t.Errorf("hits = %v; want 7 of cred.shadow, and the pattern of the session's folder", seen)
	}
}
