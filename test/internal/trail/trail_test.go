package trail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// T-A-01: the schema takes one record of each category and what the appender
// makes of them.
func TestExamples(t *testing.T) {
	schema := Schema(t)
	b, err := os.ReadFile("../../../pkg/audit/testdata/examples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "coi")
	a, err := audit.Open(home.Home{Dir: dir, UID: os.Geteuid()}, "coi-1a2b3c4d-1", audit.Options{Journal: "-", Source: audit.SourceWatch})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(strings.TrimSpace(string(b))) {
		line = strings.TrimSpace(line)
		if err := Record(schema, []byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		r, err := audit.Decode([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Append(r); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := Check(t, dir); got != n+1 {
		t.Errorf("Check saw %d records; want %d", got, n+1)
	}
}

// The schema is not one that takes anything.
func TestRefuses(t *testing.T) {
	schema := Schema(t)
	good := audit.Record{V: 1, Seq: 1, Container: "coi-1", Source: "watch", Type: "exec", Level: coi.High, Category: "shell", Title: "t", Rule: "shell.x", Action: "logged", ID: "01JW0XZ9J0R8T5M3N7Q2V4B6CD", Prev: strings.Repeat("0", 64)}
	if err := Record(schema, good.Encode(nil)); err != nil {
		t.Fatalf("the schema refuses %s: %v", good.Encode(nil), err)
	}
	for name, bad := range map[string]audit.Record{
		"level":    with(good, func(r *audit.Record) { r.Level = "hot" }),
		"category": with(good, func(r *audit.Record) { r.Category = "misc" }),
		"source":   with(good, func(r *audit.Record) { r.Source = "" }),
		"action":   with(good, func(r *audit.Record) { r.Action = "done" }),
		"seq":      with(good, func(r *audit.Record) { r.Seq = 0 }),
		"prev":     with(good, func(r *audit.Record) { r.Prev = "x" }),
		"id":       with(good, func(r *audit.Record) { r.ID = "x" }),
		"port":     with(good, func(r *audit.Record) { r.Port = 70000 }),
		"op":       with(good, func(r *audit.Record) { r.Op = "poke" }),
	} {
		if err := Record(schema, bad.Encode(nil)); err == nil {
			t.Errorf("the schema takes a bad %s", name)
		}
	}
	for _, line := range []string{`{}`, `[]`, `{"v":1}`, strings.Replace(string(good.Encode(nil)), `"v":1`, `"v":1,"extra":1`, 1), strings.Replace(string(good.Encode(nil)), `.000000000Z`, `Z`, 1)} {
		if err := Record(schema, []byte(line)); err == nil {
			t.Errorf("the schema takes %s", line)
		}
	}
}

func with(r audit.Record, f func(*audit.Record)) audit.Record {
	f(&r)
	return r
}
