package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/config"
)

// The complete example goes through the JSON of config show and back.
func TestJSONRoundTrips(t *testing.T) {
	w := newWorld(t)
	complete, err := os.ReadFile("testdata/complete.toml")
	if err != nil {
		t.Fatal(err)
	}
	w.write("~/.coi/prompts/release.md", "Release.")
	w.user(string(complete))
	first := w.load()
	data, err := json.Marshal(first.Entries())
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Key   string
		Value any
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&entries); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		if e.Value != nil {
			b.WriteString(e.Key + " = " + config.Format(fromJSON(e.Value)) + "\n")
		}
	}
	w.user(b.String())
	second := w.load()
	if diff := cmp.Diff(text(first), text(second)); diff != "" {
		t.Errorf("after the round trip:\n%s", diff)
	}
	if diff := cmp.Diff(first.Limits, second.Limits); diff != "" {
		t.Errorf("limits:\n%s", diff)
	}
	if diff := cmp.Diff(first.Prompts, second.Prompts); diff != "" {
		t.Errorf("prompts:\n%s", diff)
	}
}

func fromJSON(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		f, _ := t.Float64()
		return f
	case []any:
		for i := range t {
			t[i] = fromJSON(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = fromJSON(t[k])
		}
	}
	return v
}
