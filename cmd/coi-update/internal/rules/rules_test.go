package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCollectTakesDataOnly(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "rules")
	for name, text := range map[string]string{
		"good.yml": "title: x\n", "sub/other.yml": "title: y\n", "bad.yml": ":\n\t- [", "nul.yml": "a\x00b",
		"huge.yml": "a: " + strings.Repeat("x", MaxFile), "run.sh": "#!/bin/sh\n",
	} {
		p := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(from, "link.yml")); err != nil {
		t.Fatal(err)
	}
	r, err := Collect(from, to, []string{".yml"})
	if err != nil || r.Files != 2 || len(r.Bad) != 4 {
		t.Errorf("Collect = %+v, %v; want 2 files and 4 refusals", r, err)
	}
	if _, err := os.Stat(filepath.Join(to, "run.sh")); err == nil {
		t.Error("a script was copied")
	}
	d := Compare(filepath.Join(from, "nowhere"), to)
	if len(d.New) != 2 || len(d.Changed) != 0 {
		t.Errorf("Compare = %+v", d)
	}
}
