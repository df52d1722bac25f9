package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/code-on-incus/coi/pkg/cli"
)

func TestMain(m *testing.M) {
	verbs := map[string]func(){}
	for _, verb := range []string{"coi-config", "coi-profile", "coi-schema", "coi-validate"} {
		verbs[verb] = func() { os.Exit(cli.Main(append([]string{verb}, os.Args[1:]...), cli.Std(), commands()...)) }
	}
	testscript.Main(m, verbs)
}

// Each script has a home with ~/.coi and starts in an empty project.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for _, dir := range []string{"user/.coi", "project/.coi"} {
				if err := os.MkdirAll(filepath.Join(e.WorkDir, dir), 0o700); err != nil {
					return err
				}
			}
			e.Cd = filepath.Join(e.WorkDir, "project")
			e.Setenv("HOME", filepath.Join(e.WorkDir, "user"))
			return nil
		},
	})
}
