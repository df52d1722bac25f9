package supervise

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// While a start plans its placeholders, a session that ends leaves its own where
// they are: the start would take one half of them for the user's files.
func TestPlaceholdersWaitForAStart(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	workspace := t.TempDir()
	if err := os.MkdirAll(h.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	const ends, begins = "coi-12345678-1", "coi-12345678-2"
	if err := (record.Record{Session: run.Session{Container: ends, Phase: run.Ended, Ended: &run.End{}}}).Write(h); err != nil {
		t.Fatal(err)
	}
	f := FilesOf(h, t.TempDir(), ends, "")
	m := map[string]any{"schema_version": 1, "workspace": workspace, "created": []map[string]string{{"path": ".coi", "type": "dir"}}}
	if err := home.WriteJSON(f.Placeholders, m, false); err != nil {
		t.Fatal(err)
	}
	placeholder := filepath.Join(workspace, ".coi")
	if err := os.Mkdir(placeholder, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := Placed(h, begins); !slices.Equal(got, []string{f.Placeholders}) || len(Manifests(h, begins)) != 0 {
		t.Errorf("Placed = %q, Manifests = %q", got, Manifests(h, begins))
	}
	lock, err := LockPlaces(t.Context(), h, workspace)
	if err != nil {
		t.Fatal(err)
	}
	cleared := make(chan error, 1)
	go func() {
		_, err := f.Clear(h, ends)
		cleared <- err
	}()
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if other, err := LockPlaces(short, h, workspace); err == nil {
		other.Unlock()
		t.Error("two plan at once")
	}
	select {
	case err := <-cleared:
		t.Errorf("the placeholders were removed during a start: %v", err)
	default:
	}
	if _, err := os.Lstat(placeholder); err != nil {
		t.Error(err)
	}
	lock.Unlock()
	if err := <-cleared; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(placeholder); !os.IsNotExist(err) {
		t.Errorf("the placeholder after the end: %v", err)
	}
}
