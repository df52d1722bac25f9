package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"coi-logs": main}) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("COI_HOME", e.WorkDir+"/coi")
			e.Setenv("TZ", "UTC")
			return os.MkdirAll(e.WorkDir+"/coi", 0o700)
		},
	})
}
