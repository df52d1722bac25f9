package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// T-W-17: what a container named itself reaches the terminal of the person in
// front of it escaped; the three decisions are there, and the bell where wanted.
func TestBannerOfAFreeze(t *testing.T) {
	dir := t.TempDir()
	b := &banner{home: home.Home{Dir: dir, User: dir, UID: os.Geteuid(), Custom: dir}, name: "coi-aaaaaaaa-1"}
	st := run.WatchStatus{Frozen: &run.Mark{At: time.Now(), Event: "01ABC"}, FrozenLevel: "high", FrozenTitle: "runs \x1b]0;owned\a\u202eevil"}
	got := b.paint(st)
	for _, want := range []string{"high: runs \\x1b]0;owned", "coi unfreeze coi-aaaaaaaa-1", "coi watch allow 01ABC", "coi kill coi-aaaaaaaa-1"} {
		if !strings.Contains(got, want) {
			t.Errorf("banner %q; want %q in it", got, want)
		}
	}
	if strings.Contains(got, "\x1b]") || strings.ContainsAny(got, "\a\u202e") {
		t.Errorf("banner %q has raw text of the container, or a bell nobody asked for", got)
	}
	if _, err := b.home.Ensure(b.home.Run()); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(b.home.Run(b.name+run.WatchFile), run.Watch{SchemaVersion: run.Schema, Settings: run.WatchSettings{Notify: []string{"bell"}}}); err != nil {
		t.Fatal(err)
	}
	if got := b.paint(st); !strings.HasPrefix(got, "\a") {
		t.Errorf("banner %q; want a bell first", got)
	}
	st.FrozenLevel = "critical"
	if got := b.paint(st); !strings.Contains(got, "coi unfreeze") {
		t.Errorf("banner %q; auto_kill_on_critical is off, so the person decides", got)
	}
	if err := run.Write(b.home.Run(b.name+run.WatchFile), run.Watch{SchemaVersion: run.Schema, Settings: run.WatchSettings{AutoKillOnCritical: true}}); err != nil {
		t.Fatal(err)
	}
	if got := b.paint(st); strings.Contains(got, "coi unfreeze") || !strings.Contains(got, "coi audit coi-aaaaaaaa-1") {
		t.Errorf("banner %q; want that it ends, and nothing to decide", got)
	}
}
