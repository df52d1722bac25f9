package coi

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestContainerName(t *testing.T) {
	name := ContainerName(DefaultPrefix, "/home/u/src", 3)
	h, slot, ok := SplitName(DefaultPrefix, name)
	if !ok || slot != 3 || h != Hash8("/home/u/src") {
		t.Fatalf("SplitName(%q) = %q, %d, %v", name, h, slot, ok)
	}
	for _, bad := range []string{"coi-12345678-0", "coi-12345678-11", "coi-1234567g-1", "coi-12345678-01", "x", "coi-"} {
		if _, _, ok := SplitName(DefaultPrefix, bad); ok {
			t.Errorf("SplitName(%q) accepted", bad)
		}
	}
}

func TestVethNameFits(t *testing.T) {
	for _, home := range []string{"", "/tmp/x"} {
		v := VethName(VethTag(1000, home), "default", "coi-12345678-1")
		if len(v) != IfNameLen {
			t.Errorf("VethName = %q, %d characters; want %d", v, len(v), IfNameLen)
		}
	}
	if VethTag(1000, "") == VethTag(1000, "/tmp/x") {
		t.Error("a COI_HOME of its own shares a tag with ~/.coi")
	}
}

func TestLevels(t *testing.T) {
	if Critical.Rank() <= High.Rank() || Level("x").Rank() != -1 {
		t.Error("levels are not in order")
	}
	if _, err := ParseLevel("hgih"); err == nil {
		t.Error("ParseLevel took a word that is no level")
	}
}

// The checks by hand mean what these patterns mean.
func TestNamesAgainstPatterns(t *testing.T) {
	prefix, name := regexp.MustCompile(`^[a-z][a-z0-9-]{0,20}-$`), regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]$`)
	const letters = "azAZ09-_./\n é"
	r := rand.New(rand.NewPCG(1, 1))
	for range 50_000 {
		b := make([]byte, r.IntN(4))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		for _, s := range []string{string(b), "a" + string(b) + "-", strings.Repeat("a", r.IntN(66)) + string(b)} {
			if ValidPrefix(s) != prefix.MatchString(s) {
				t.Fatalf("ValidPrefix(%q) = %v", s, ValidPrefix(s))
			}
			if ValidContainer(s) != name.MatchString(s) {
				t.Fatalf("ValidContainer(%q) = %v", s, ValidContainer(s))
			}
		}
	}
}
