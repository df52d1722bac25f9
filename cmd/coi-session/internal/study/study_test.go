package study

import (
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

func TestParse(t *testing.T) {
	for name, want := range map[string]string{
		"coi-ab12cd34-1-forensics-1700000000":              "coi-ab12cd34-1",
		"coi-ab12cd34-1-forensics-":                        "",
		"coi-ab12cd34-1-forensics-mine":                    "",
		"coi-ab12cd34-1-forensics--5":                      "",
		"coi-ab12cd34-1":                                   "",
		"-forensics-1700000000":                            "",
		"a-forensics-1-forensics-1700000000":               "a-forensics-1",
		"coi-ab12cd34-1-forensics-99999999999999999999999": "",
	} {
		of, at, ok := Parse(name)
		if of != want || ok != (want != "") || ok && at.Unix() != 1700000000 {
			t.Errorf("Parse(%q) = %q, %v, %v; want %q", name, of, at, ok, want)
		}
	}
}

func TestMine(t *testing.T) {
	h := home.Home{Dir: "/home/a/.coi", UID: 1000}
	keys := Keys("coi-x-1", h)
	if !Mine(keys, h) || Of(keys) != "coi-x-1" {
		t.Errorf("Mine(%v) = false; want the copy known by its owner", keys)
	}
	for _, other := range []home.Home{{Dir: h.Dir, UID: 1001}, {Dir: "/tmp/other", UID: 1000}} {
		if Mine(keys, other) {
			t.Errorf("Mine(%v) for %+v; want only the owner", keys, other)
		}
	}
	if Mine(map[string]string{keyOwner: "1000", keyHome: h.Dir}, h) {
		t.Error("a container without the kind counts as a copy")
	}
}
