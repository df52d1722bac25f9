package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
)

// Watch §14, §16: the list of what is allowed, for people and for programs; what
// was for a session or a time that is over counts no more.
func TestAllowList(t *testing.T) {
	coiDir := filepath.Join(t.TempDir(), "coi")
	if err := os.MkdirAll(filepath.Join(coiDir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(filepath.Join(coiDir, "run", "coi-1-1"+run.WatchFile), run.Watch{SchemaVersion: run.Schema, Container: "coi-1-1", SessionID: "s-now"}); err != nil {
		t.Fatal(err)
	}
	list := "schema_version = 1\n" +
		"[[allow]]\nrule = 'cred.shadow'\nprogram = '/bin/cat'\nargv = ['cat', '/etc/shadow']\nworkspace = '/w'\n" +
		"[[allow]]\nrule = 'run.decode'\nany_args = true\nsession = 's-now'\n" +
		"[[allow]]\nrule = 'run.decode'\nany_args = true\nsession = 's-gone'\n" +
		"[[allow]]\nrule = 'run.decode'\nany_args = true\nuntil = 2026-01-02T03:04:05Z\n"
	if err := os.WriteFile(filepath.Join(coiDir, "watch-allow.toml"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := watchIn(t, coiDir, "allow", "--list", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var got struct {
		Allow []struct {
			N       int
			Rule    string
			Argv    []string
			AnyArgs bool `json:"any_args"`
			Session string
			Until   *time.Time
			Over    bool
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	var over []bool
	for i, e := range got.Allow {
		over = append(over, e.Over)
		if e.N != i+1 || e.Rule == "" {
			t.Errorf("entry %+v; want number %d and its rule", e, i+1)
		}
	}
	if len(over) != 4 || over[0] || over[1] || !over[2] || !over[3] || got.Allow[0].Until != nil || len(got.Allow[0].Argv) != 2 || !got.Allow[1].AnyArgs {
		t.Errorf("list = %s", out)
	}
	for _, key := range []string{`"rule"`, `"any_args"`, `"until"`} {
		if !strings.Contains(out, key) {
			t.Errorf("no key %s in %s", key, out)
		}
	}
	out, _, _ = watchIn(t, coiDir, "allow", "--list")
	if strings.Count(out, "  over") != 2 || strings.Count(out, "in this session") != 1 {
		t.Errorf("list = %s", out)
	}
	if out, errs, _ := watchIn(t, coiDir, "status", "--json"); !strings.Contains(out, `"allow_entries": 2`) {
		t.Errorf("status = %s %s; want 2 entries in use", out, errs)
	}
}
