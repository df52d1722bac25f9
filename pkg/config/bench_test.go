package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

// BenchmarkLoad is the load of every verb, with twenty profiles beside it.
func BenchmarkLoad(b *testing.B) {
	h, workspace := benchWorld(b)
	o := Options{Home: h, Workspace: workspace, Getenv: func(string) string { return "" }}
	for b.Loop() {
		if _, err := Load(o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse is one file of a few keys.
func BenchmarkParse(b *testing.B) {
	h, _ := benchWorld(b)
	for b.Loop() {
		src := &source{kind: ProfileFile, file: "/p", isProf: true}
		doc, p := parse(src, []byte(hardened))
		if p != nil {
			b.Fatal(p)
		}
		var ps problems
		decode(doc, h, &ps)
	}
}

func benchWorld(b *testing.B) (h home.Home, workspace string) {
	b.Helper()
	hh, workspace := propertyWorld(b)
	for n := range 20 {
		path := filepath.Join(hh.Profiles(), fmt.Sprintf("p%d", n), "config.toml")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hardened), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return hh, workspace
}
