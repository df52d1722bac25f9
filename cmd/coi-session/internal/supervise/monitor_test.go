package supervise

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

// watchedStage is a supervisor whose monitor lives, as far as its lock says.
func watchedStage(t *testing.T, alive bool, settings run.WatchSettings) (*Supervisor, *fakeDoor) {
	t.Helper()
	dir := t.TempDir()
	h := home.Home{Dir: dir, User: dir, UID: os.Geteuid(), Custom: dir}
	for _, d := range []string{h.Run(), h.Logs()} {
		if _, err := h.Ensure(d); err != nil {
			t.Fatal(err)
		}
	}
	if alive {
		lock, err := home.TryLock(h.Run(run.WatchLock))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Unlock() })
	}
	door := newDoor(t, nil)
	rec := record.Record{Session: run.Session{Container: container}, Plan: record.Plan{Watched: true, MustWatch: true}}
	if err := rec.Write(h); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(h.Run(container+run.WatchFile), run.Watch{SchemaVersion: run.Schema, Container: container, Settings: settings}); err != nil {
		t.Fatal(err)
	}
	log, err := logs.Open(h.Logs(), container, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return &Supervisor{Home: h, Log: log, file: record.Open(h, rec), door: door}, door
}

func (s *Supervisor) says(t *testing.T, st run.WatchStatus) {
	t.Helper()
	st.SchemaVersion, st.Container = run.Schema, container
	if err := run.Write(s.Home.Run(container+run.WatchStatusFile), st); err != nil {
		t.Fatal(err)
	}
}

// A freeze by the monitor is written down, told where the user wants it, and
// passed to Incus; one that a person undid meanwhile is undone there as well.
func TestFreezeOfTheMonitorReachesIncusAndPeople(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	s, door := watchedStage(t, true, run.WatchSettings{Notify: []string{"file:" + told}})
	m := &monitor{s: s}
	if err := run.Read(s.Home.Run(container+run.WatchFile), &m.want); err != nil {
		t.Fatal(err)
	}
	st := run.WatchStatus{Frozen: &run.Mark{At: time.Now(), Event: "e1"}, FrozenTitle: "reads \x1b[2Jshadow", FrozenLevel: "high"}
	s.says(t, st)
	m.heed(t.Context(), st)
	m.heed(t.Context(), st) // the same again is nothing new
	if got, want := door.seen(), []string{"freeze"}; !slices.Equal(got, want) {
		t.Errorf("Incus was told %v; want %v", got, want)
	}
	b, err := os.ReadFile(told)
	if err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), "audit e1") || strings.Contains(string(b), "\x1b") {
		t.Errorf("notify file = %q, %v; want one line, escaped", b, err)
	}
	s.says(t, run.WatchStatus{}) // thawed while Incus was still freezing the second one
	m.heed(t.Context(), run.WatchStatus{Frozen: &run.Mark{At: time.Now(), Event: "e2"}, FrozenLevel: "high"})
	if got, want := door.seen(), []string{"freeze", "freeze", "thaw"}; !slices.Equal(got, want) {
		t.Errorf("Incus was told %v; want %v", got, want)
	}
}

// R-MON-01, watch.md 17: a monitor that is gone for good freezes the session where
// monitoring = true is written, once, and not before it had its time to come back.
func TestMonitorThatIsGoneClosesTheSession(t *testing.T) {
	for _, tt := range []struct {
		alive bool
		since time.Duration
		want  []string
	}{{true, time.Hour, nil}, {false, 0, nil}, {false, run.StaleAfter, []string{"freeze"}}} {
		s, door := watchedStage(t, tt.alive, run.WatchSettings{})
		m := &monitor{s: s, dead: time.Now().Add(-tt.since)}
		m.lives(t.Context())
		m.lives(t.Context())
		if got := door.seen(); !slices.Equal(got, tt.want) {
			t.Errorf("alive %v, dead for %s: Incus was told %v; want %v", tt.alive, tt.since, got, tt.want)
		}
	}
}
