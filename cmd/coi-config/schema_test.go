package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
)

// Every field that a record can have is in the schema, and every field that the
// schema requires is in the smallest record.
func TestAuditSchemaFitsTheRecord(t *testing.T) {
	var schema struct {
		Required   []string
		Properties map[string]any
	}
	if err := json.Unmarshal(auditSchema, &schema); err != nil {
		t.Fatal(err)
	}
	uid := 0
	full := audit.Record{
		V: 1, Seq: 1, TS: time.Unix(1, 0), SessionID: "s", Description: "d", Count: 2, Until: time.Unix(2, 0), Ref: []int{1}, PID: 1, PPID: 1, NSPID: 1, UID: &uid, Comm: "c", Exe: "e",
		ExeSHA: "x", Cwd: "/", Argv: []string{"a"}, ArgvCut: true, Chain: []audit.Parent{{PID: 1, Exe: "e"}}, Path: "/a", Path2: "/b", Op: "open", Proto: "tcp", Local: "l", Peer: "p",
		Port: 1, Name: "n", DNS: &audit.DNS{Name: "n"}, N: &audit.Numbers{Value: 1}, Text: "t", Evidence: map[string]any{"a": 1}, LateMS: 1, Host: "h",
	}
	for name := range fields(t, &full) {
		if _, ok := schema.Properties[name]; !ok {
			t.Errorf("the schema lacks %s", name)
		}
	}
	small := fields(t, &audit.Record{V: 1, Seq: 1, TS: time.Unix(1, 0)})
	for _, name := range schema.Required {
		if _, ok := small[name]; !ok {
			t.Errorf("the schema requires %s, which a record need not have", name)
		}
	}
	for name := range small {
		if !slices.Contains(schema.Required, name) {
			t.Errorf("every record has %s, the schema does not require it", name)
		}
	}
}

func fields(t *testing.T, r *audit.Record) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(r.Encode(nil), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
