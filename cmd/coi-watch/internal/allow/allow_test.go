package allow

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/home"
)

func TestMatches(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := detect.Finding{Rule: "run.decode"}
	ev := event.Event{Exe: "/usr/bin/bash", ExeSHA: "aa", Argv: []string{"bash", "x"}}
	base := Entry{Rule: "run.decode", Program: "/usr/bin/bash", SHA: "aa", Argv: []string{"bash", "x"}, Workspace: "/ws", Session: "s1", Until: at.Add(time.Minute)}
	for name, tt := range map[string]struct {
		change func(*Entry)
		want   bool
	}{
		"as it was":         {func(*Entry) {}, true},
		"another rule":      {func(e *Entry) { e.Rule = "run.pipe" }, false},
		"another content":   {func(e *Entry) { e.SHA = "bb" }, false},
		"another argument":  {func(e *Entry) { e.Argv = []string{"bash", "y"} }, false},
		"any argument":      {func(e *Entry) { e.Argv, e.AnyArgs = nil, true }, true},
		"another workspace": {func(e *Entry) { e.Workspace = "/other" }, false},
		"everywhere":        {func(e *Entry) { e.Workspace = "" }, true},
		"another session":   {func(e *Entry) { e.Session = "s2" }, false},
		"over":              {func(e *Entry) { e.Until = at.Add(-time.Minute) }, false},
	} {
		e := base
		tt.change(&e)
		if got := e.Matches(f, ev, "/ws", "s1", at); got != tt.want {
			t.Errorf("%s: Matches = %v; want %v", name, got, tt.want)
		}
	}
}

func TestGraveRulesNeedAnEnd(t *testing.T) {
	if _, err := Parse([]byte("schema_version = 1\n[[allow]]\nrule = \"escape.setns\"\n")); err == nil {
		t.Error("escape.setns allowed for good")
	}
	if _, err := Parse([]byte("schema_version = 1\n[[allow]]\nrule = \"escape.setns\"\nuntil = 2026-01-02T03:04:05Z\n")); err != nil {
		t.Errorf("escape.setns for a while: %v", err)
	}
}

func TestListIsReadAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "coi")
	h := home.Home{Dir: dir, User: dir}
	l := NewList(h)
	f, ev := detect.Finding{Rule: "x"}, event.Event{}
	find := func() bool {
		_, ok := l.Find(f, ev, "", "", time.Now(), func() string { return "" })
		return ok
	}
	if find() {
		t.Error("found in a list that does not exist")
	}
	if err := Save(h, []Entry{{Rule: "x", AnyArgs: true}}); err != nil {
		t.Fatal(err)
	}
	if !find() {
		t.Error("not found after it was saved")
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add([]byte("schema_version = 1\n[[allow]]\nrule = \"x\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := Parse(b)
		for _, e := range entries {
			if err == nil && e.Rule == "" {
				t.Error("an entry without a rule")
			}
		}
	})
}
