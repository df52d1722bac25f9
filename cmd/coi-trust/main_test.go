package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

func TestMain(m *testing.M) {
	verbs := map[string]func(){"holds": holds}
	for _, verb := range []string{"coi-trust", "coi-untrust"} {
		verbs[verb] = func() {
			os.Exit(cli.Main(append([]string{verb}, os.Args[1:]...), cli.Std(), trustCommand(), untrustCommand()))
		}
	}
	testscript.Main(m, verbs)
}

// holds prints what a session started here would get, and every warning: the
// other end of an approval. Its argument is a profile.
func holds() {
	h, err := home.Find(os.Getenv)
	if err != nil {
		panic(err)
	}
	o := config.Options{Home: h, Workspace: "."}
	if len(os.Args) > 1 {
		o.Profile = os.Args[1]
	}
	c, err := config.Load(o)
	if err != nil {
		panic(err)
	}
	for _, m := range c.Mounts {
		_, _ = fmt.Fprintln(os.Stdout, "mount", m.Container, "readonly", m.ReadOnly)
	}
	for _, s := range c.Sockets {
		_, _ = fmt.Fprintln(os.Stdout, "socket", s.Container)
	}
	for _, w := range c.Warnings {
		_, _ = fmt.Fprintln(os.Stdout, "warning:", w.Text, "hint:", w.Hints)
	}
}

// Each script has a home and starts in a project.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for _, dir := range []string{"user/.coi", "user/.claude/skills", "project/.coi"} {
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
