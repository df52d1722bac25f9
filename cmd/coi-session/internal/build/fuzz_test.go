package build

import (
	"strings"
	"testing"
)

// FuzzParseBase: no base makes a word that mmdebstrap could take for an option
// or a shell for anything.
func FuzzParseBase(f *testing.F) {
	for _, s := range []string{"debian:13", "ubuntu:24.04", "images:debian/13", "coi-default", "debian:-x", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		b, err := ParseBase(ref)
		if err == nil && b.Kind == Mirror && (strings.HasPrefix(b.Suite, "-") || strings.ContainsAny(b.Suite, " \n;$`'\"/")) {
			t.Errorf("ParseBase(%q) has suite %q", ref, b.Suite)
		}
		if err == nil && b.Kind == Local && (strings.HasPrefix(b.Alias, "-") || strings.Contains(b.Alias, "/")) {
			t.Errorf("ParseBase(%q) has alias %q", ref, b.Alias)
		}
	})
}
