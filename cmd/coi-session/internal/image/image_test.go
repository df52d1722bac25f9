package image

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/home"
)

func TestDated(t *testing.T) {
	tests := []struct {
		alias, stem string
		nth         int
		ok          bool
	}{
		{"coi-default-20260102-030405", "coi-default", 1, true},
		{"coi-default-20260102-030405-2", "coi-default", 2, true},
		{"my-v1.2-20260102-030405", "my-v1.2", 1, true},
		{"coi-default", "", 0, false},
		{"coi-default-20261302-030405", "", 0, false},
		{"coi-default-20260102-030405-", "", 0, false},
		{"-20260102-030405", "", 0, false},
	}
	for _, tt := range tests {
		stem, at, nth, ok := Dated(tt.alias)
		if stem != tt.stem || nth != tt.nth || ok != tt.ok {
			t.Errorf("Dated(%q) = %q, %d, %v; want %q, %d, %v", tt.alias, stem, nth, ok, tt.stem, tt.nth, tt.ok)
		}
		if ok && at.Year() != 2026 {
			t.Errorf("Dated(%q) is of %v; want 2026", tt.alias, at)
		}
	}
}

func TestFreeAlias(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	taken := map[string]bool{}
	for _, want := range []string{"x-20260102-020405", "x-20260102-020405-2", "x-20260102-020405-3"} {
		got, err := FreeAlias("x", at, func(a string) (bool, error) { return taken[a], nil })
		if err != nil || got != want {
			t.Fatalf("FreeAlias() = %q, %v; want %q", got, err, want)
		}
		taken[got] = true
	}
}

// S70: the newest of each name stay, and what has a name of its own.
func TestOld(t *testing.T) {
	all := []Local{
		{"a", []string{"my-20260101-000000"}},
		{"b", []string{"my-20260102-000000", "my-v1.2"}}, // has a name of its own
		{"c", []string{"my-20260103-000000"}},
		{"d", []string{"my-20260103-000000-2", "my"}},
		{"e", []string{"my-20260103-000000-10"}},
		{"f", []string{"my-other-20250101-000000"}}, // another stem
		{"g", []string{"yours-20250101-000000"}},
		{"h", []string{"my-plain"}},
	}
	tests := []struct {
		prefix string
		keep   int
		want   []Victim
	}{
		{"my-", 1, []Victim{{"my-20260101-000000", "a"}, {"my-20260103-000000", "c"}}},
		{"my-", 3, []Victim{{"my-20260101-000000", "a"}}},
		{"my-", 9, nil},
		{"yours", 1, nil},
		{"none", 1, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Old(all, tt.prefix, tt.keep)); diff != "" {
			t.Errorf("Old(%q, %d) (-want +got):\n%s", tt.prefix, tt.keep, diff)
		}
	}
}

func TestRemember(t *testing.T) {
	dir := t.TempDir()
	h := home.Home{Dir: dir, User: dir, UID: os.Getuid()}
	meta := Meta{BuiltAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Base: "debian:13", Fingerprint: "f", Agents: []string{"claude"}}
	if err := Remember(h, "coi-default", meta); err != nil {
		t.Fatal(err)
	}
	if err := Remember(h, "other", Meta{Agents: []string{}}); err != nil {
		t.Fatal(err)
	}
	if err := Forget(h, "other"); err != nil {
		t.Fatal(err)
	}
	got, err := Load(h)
	want := File{SchemaVersion: 1, Images: map[string]Meta{"coi-default": meta}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Load() = %v (-want +got):\n%s", err, diff)
	}
}

// A file of a newer coi is refused, and stays as it is.
func TestRememberKeepsNewer(t *testing.T) {
	dir := t.TempDir()
	h := home.Home{Dir: dir, User: dir, UID: os.Getuid()}
	const newer = `{"schema_version":99,"images":{}}`
	if err := os.WriteFile(h.Path("image-meta.json"), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remember(h, "x", Meta{}); err == nil {
		t.Error("Remember() = nil; want an error that names the schema")
	}
	if got, err := os.ReadFile(h.Path("image-meta.json")); err != nil || string(got) != newer {
		t.Errorf("the file holds %q, %v; want it unchanged", got, err)
	}
}
