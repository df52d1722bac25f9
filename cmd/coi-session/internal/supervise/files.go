package supervise

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Files are where a session keeps what it knows of its workspace.
type Files struct {
	Placeholders string // run/<c>.placeholders.json
	Baseline     string // run/<c>.baseline.json
	Copies       string // storage/baseline/<c>
	Quarantine   string // storage/quarantine/<session id>
}

const placeholders = ".placeholders.json"

// FilesOf are the files of one container.
func FilesOf(h home.Home, storage, container, session string) Files {
	return Files{
		Placeholders: h.Run(container + placeholders), Baseline: h.Run(container + ".baseline.json"),
		Copies: filepath.Join(storage, "baseline", container), Quarantine: filepath.Join(storage, "quarantine", session),
	}
}

// Leftover are the containers that have a manifest of placeholders.
func Leftover(h home.Home) []string {
	names, _ := run.Names(h.Run(), placeholders)
	return names
}

// Placed are all placeholder manifests but one container's, of sessions at their
// end as well: their placeholders are not the user's.
func Placed(h home.Home, but string) []string {
	return manifests(h, func(name string) bool { return name != but })
}

// Manifests are the placeholder manifests of all sessions that have not ended,
// but for one container's.
func Manifests(h home.Home, but string) []string {
	return manifests(h, func(name string) bool {
		rec, err := record.Read(h, name)
		return name != but && err == nil && rec.Ended == nil
	})
}

func manifests(h home.Home, of func(container string) bool) []string {
	var out []string
	for _, name := range Leftover(h) {
		if of(name) {
			out = append(out, h.Run(name+placeholders))
		}
	}
	return out
}

// flagsTime is how long the monitor may take to clear immutable flags.
const flagsTime = 10 * time.Second

// Clear removes placeholders and baseline of a container that no longer runs.
// It waits for the monitor to let go of its flags: immutable files cannot be
// removed. left names what stays because it changed.
func (f Files) Clear(h home.Home, container string) (left []string, err error) {
	flags := h.Path("immutable-locks", container+".json")
	ctx, stop := context.WithTimeout(context.Background(), flagsTime)
	defer stop()
	for _, err := os.Lstat(flags); err == nil && pause(ctx, 10*time.Millisecond); _, err = os.Lstat(flags) {
	}
	left, err = f.RemovePlaceholders(h, container)
	if err != nil {
		return left, err
	}
	return left, protect.DropBaseline(f.Baseline, f.Copies)
}

// RemovePlaceholders removes what no other session needs, while none is being
// started in the workspace.
func (f Files) RemovePlaceholders(h home.Home, container string) (left []string, err error) {
	workspace, err := protect.WorkspaceOf(f.Placeholders)
	if err != nil || workspace == "" {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), placesTime)
	defer stop()
	lock, err := LockPlaces(ctx, h, workspace)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	return protect.RemovePlaceholders(f.Placeholders, Manifests(h, container))
}

// placesTime is how long a session waits at its end for starts in its workspace,
// which look through all of it.
const placesTime = time.Minute

// LockPlaces takes the lock under which placeholders of a workspace are planned
// and made, and under which they are removed: a start would else take those of a
// session that ends for the user's own files.
func LockPlaces(ctx context.Context, h home.Home, workspace string) (*home.Lock, error) {
	return home.WaitLock(ctx, h.Run(coi.Hash8(workspace)+".places.lock"))
}
