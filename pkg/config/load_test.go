package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// world is a user with a home and a project, both on disk.
type world struct {
	t         *testing.T
	home      home.Home
	workspace string
	env       map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, workspace: filepath.Join(dir, "project"), env: map[string]string{"HOME": filepath.Join(dir, "user")}}
	for _, d := range []string{filepath.Join(dir, "user", ".coi"), filepath.Join(w.workspace, ".coi")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if w.home, err = home.Find(w.getenv); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) getenv(name string) string { return w.env[name] }

// write makes a file and its directory; path as ~/x, or relative to the workspace.
func (w *world) write(path, text string) string {
	w.t.Helper()
	path = w.path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) path(path string) string {
	if path = w.home.Expand(path); !filepath.IsAbs(path) {
		path = filepath.Join(w.workspace, path)
	}
	return path
}

func (w *world) user(text string)    { w.t.Helper(); w.write("~/.coi/config.toml", text) }
func (w *world) project(text string) { w.t.Helper(); w.write(".coi/config.toml", text) }

func (w *world) try(change ...func(*config.Options)) (*config.Config, error) {
	o := config.Options{Home: w.home, Getenv: w.getenv, Workspace: w.workspace}
	for _, f := range change {
		f(&o)
	}
	return config.Load(o)
}

func (w *world) load(change ...func(*config.Options)) *config.Config {
	w.t.Helper()
	c, err := w.try(change...)
	if err != nil {
		w.t.Fatalf("Load: %v", err)
	}
	return c
}

func withProfile(name string) func(*config.Options) {
	return func(o *config.Options) { o.Profile = name }
}

func TestEmpty(t *testing.T) {
	c := newWorld(t).load()
	if c.Network.Mode != "restricted" || !c.Network.BlockPrivateNetworks || c.Container.Image != "coi-default" || c.Monitoring.Enabled != nil {
		t.Errorf("defaults = %+v", c)
	}
	if len(c.Warnings) > 0 || len(c.Refused) > 0 || len(c.Gated) > 0 {
		t.Errorf("an empty home gives warnings %v, refusals %v, gated %v", c.Warnings, c.Refused, c.Gated)
	}
}

func TestProjectOpenIsRefused(t *testing.T) {
	w := newWorld(t)
	w.project("[monitoring]\nenabled = false\n[network]\nmode = \"open\"\n")
	c := w.load()
	if c.Network.Mode != "restricted" || !c.Monitored() || len(c.Refused) != 2 {
		t.Errorf("mode %q, monitored %v, refused %v", c.Network.Mode, c.Monitored(), c.Refused)
	}
}

// The complete example of the manual loads, once the paths it names exist.
func TestComplete(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile("testdata/complete.toml")
	if err != nil {
		t.Fatal(err)
	}
	w.user(string(text))
	w.write("~/.coi/prompts/release.md", "Release.")
	c := w.load()
	if c.Tool.Claude.Model != "sonnet" || c.Limits.Disk.Quota() != 20<<30 || len(c.Mounts) != 1 || len(c.Network.Hosts) != 1 || c.Ports.Map[0].Container != 8080 {
		t.Errorf("complete example = %+v", c)
	}
}
