package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

// FuzzLoad reads any text as a project's file, its profile and the user's own
// file: no crash, every problem has a place, and nothing gets weaker.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"[network]\nmode = \"open\"\n", "[[mounts]]\nhost = \"~/.ssh\"\ncontainer = \"/mnt\"\n[[mounts.default]]\nhost = \"x\"\ncontainer = \"/y\"\n", hardened, DefaultsTOML(),
		"inherits = \"hardened\"\nclear = [\"secret_paths\"]\n", "mounts = [{host = \"a\", container = \"/b\"}]\n", "a.b.c = 1\n[a.\"b.c\"]\n", "[[a]]\n[a.b]\n[[a.b.c]]\nx = [[1], {y = 2}]\n",
		"[workspaces.\"~/x\"]\nprofile = \"y\"\n", "[prompts]\nx = { file = \"y\" }\n", "\ufeff[limits.disk]\nmax = \"1GiB\"\n",
	} {
		f.Add(seed)
	}
	dir, err := filepath.EvalSymlinks(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	h, err := home.Find(func(n string) string { return map[string]string{"HOME": filepath.Join(dir, "u")}[n] })
	if err != nil {
		f.Fatal(err)
	}
	workspace := filepath.Join(dir, "w")
	for _, d := range []string{h.Dir, filepath.Join(workspace, ".coi/profiles/p")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			f.Fatal(err)
		}
	}
	o := Options{Home: h, Workspace: workspace, Getenv: func(string) string { return "" }}
	own, err := Load(Options{Home: h, Getenv: o.Getenv})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []bool{false, true} {
			src := &source{kind: UserFile, file: "/f", trusted: true, isProf: kind, hostDir: "/", fileDir: "/"}
			doc, p := parse(src, []byte(text))
			if p != nil {
				if p.Line < 1 {
					t.Fatalf("a problem without a place: %v", p)
				}
				continue
			}
			var ps problems
			decode(doc, h, &ps)
			for _, p := range ps {
				if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 {
					t.Fatalf("a problem without a place: %+v", p)
				}
			}
		}
		for name, profile := range map[string]string{".coi/config.toml": "", ".coi/profiles/p/config.toml": "project:p"} {
			path := filepath.Join(workspace, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			with := o
			with.Profile = profile
			if c, err := Load(with); err == nil {
				if why := weakerThan(own, c, workspace); why != "" {
					t.Fatal(why)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	})
}
