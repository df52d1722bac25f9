package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coi-netguard": main, "coi-hosts": main})
}

// TestScripts runs the stories of the client verbs, with files only: no daemon and
// no right is needed for them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			dir := filepath.Join(e.WorkDir, "home", ".coi", "run")
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			return os.MkdirAll(dir, 0o700)
		},
	})
}
