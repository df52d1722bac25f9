package daemon

import (
	"os"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// A shutdown that coi ordered unmounts the locked paths and is no attack;
// everything else that touches them stays what it is.
func TestShutdownUnmounts(t *testing.T) {
	const name, init = "coi-1a2b3c4d-1", 70
	for _, tt := range []struct {
		what  string
		phase run.Phase
		f     detect.Finding
		ev    event.Event
		want  coi.Level
	}{
		{"a child of init", run.Saving, detect.Finding{ByInit: true, Rule: "escape.locked", Op: "umount"}, event.Event{PID: 90, PPID: init}, coi.Info},
		{"the start of umount", run.Saving, detect.Finding{ByInit: true, Rule: "escape.locked", Op: "umount"}, event.Event{Type: event.Exec, PID: 90, PPID: init}, coi.Info},
		{"noticed afterwards", run.Saving, detect.Finding{ByInit: true, Rule: "escape.locked", Op: "umount"}, event.Event{}, coi.Info},
		{"while the session runs", run.Running, detect.Finding{ByInit: true, Rule: "escape.locked", Op: "umount"}, event.Event{PID: 90, PPID: init}, coi.Critical},
		{"somebody else's process", run.Saving, detect.Finding{Rule: "escape.locked", Op: "umount"}, event.Event{PID: 91, PPID: 90}, coi.Critical},
		{"a write", run.Saving, detect.Finding{ByInit: true, Rule: "escape.locked", Op: "write"}, event.Event{PID: 90, PPID: init}, coi.Critical},
		{"another rule", run.Saving, detect.Finding{ByInit: true, Rule: "escape.nested", Op: "umount"}, event.Event{PID: 90, PPID: init}, coi.Critical},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h := home.Home{Dir: t.TempDir(), UID: os.Geteuid()}
			if _, err := h.Ensure(h.Run()); err != nil {
				t.Fatal(err)
			}
			if err := run.Write(h.Run(name+run.SessionFile), run.Session{SchemaVersion: run.Schema, Container: name, Phase: tt.phase}); err != nil {
				t.Fatal(err)
			}
			c := &container{name: name, d: &Daemon{Options: Options{Home: h}}, scene: &scene.Scene{Init: init}}
			tt.f.Level = coi.Critical
			f, tell := c.soften(tt.f, tt.ev)
			if f.Level != tt.want {
				t.Errorf("level %s, want %s", f.Level, tt.want)
			}
			if tell == (tt.ev.Type == event.Exec) {
				t.Errorf("told: %v", tell)
			}
		})
	}
}
