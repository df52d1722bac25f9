package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Watch is the conversation with the monitor about one container.
type Watch struct {
	Home   home.Home
	Daemon *Daemon
	Want   run.Watch
}

// OpenWatch goes on with the conversation about a container that has a wanted
// file, or starts a new one.
func OpenWatch(h home.Home, container string) *Watch {
	w := &Watch{Home: h, Want: run.Watch{SchemaVersion: run.Schema, Container: container}}
	var old run.Watch
	if run.Read(h.Run(container+run.WatchFile), &old) == nil {
		w.Want = old
	}
	var st run.WatchStatus
	if run.Read(h.Run(container+run.WatchStatusFile), &st) == nil {
		w.Want.Generation = max(w.Want.Generation, st.Generation)
		w.Want.Thaw = max(w.Want.Thaw, st.Thaw)
	}
	return w
}

// Ask writes the wanted state.
func (w *Watch) Ask() error {
	w.Want.Generation++
	return run.Write(w.Home.Run(w.Want.Container+run.WatchFile), w.Want)
}

// Armed waits until the monitor watches what was asked for last.
func (w *Watch) Armed(ctx context.Context) (run.WatchStatus, error) {
	return w.until(ctx, func(s run.WatchStatus) bool { return s.Armed || s.Error != "" })
}

// Mounts waits until the monitor has compared the mounts of the started
// container with what was asked for.
func (w *Watch) Mounts(ctx context.Context) (run.WatchStatus, error) {
	return w.until(ctx, func(s run.WatchStatus) bool { return s.Mounts != "" && s.Mounts != "unknown" })
}

// Thawed asks the monitor to let go of a freeze of its own and waits until it did.
func (w *Watch) Thawed(ctx context.Context) error {
	w.Want.Thaw++
	if err := w.Ask(); err != nil {
		return err
	}
	_, err := w.until(ctx, func(s run.WatchStatus) bool { return s.Thaw >= w.Want.Thaw })
	return err
}

// EndChecked asks the monitor for the part of the end check that needs its
// rights and returns its answer, "done" or "not verified: WHY".
func (w *Watch) EndChecked(ctx context.Context) (string, error) {
	w.Want.Endcheck = true
	if err := w.Ask(); err != nil {
		return "", err
	}
	st, err := w.until(ctx, func(s run.WatchStatus) bool { return s.Endcheck != "" })
	return st.Endcheck, err
}

func (w *Watch) until(ctx context.Context, ok func(run.WatchStatus) bool) (run.WatchStatus, error) {
	ctx, stop := context.WithTimeout(ctx, AnswerTimeout)
	defer stop()
	var st run.WatchStatus
	err := waitFor(ctx, w.Daemon, w.Home.Run(w.Want.Container+run.WatchStatusFile), func(b []byte) bool {
		var s run.WatchStatus
		if json.Unmarshal(b, &s) != nil || s.Generation < w.Want.Generation {
			return false
		}
		st = s
		return ok(s)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return st, fmt.Errorf("no answer within %s", AnswerTimeout)
	case err == nil && !st.Armed && st.Error != "":
		return st, errors.New(st.Error)
	}
	return st, err
}

// Frozen waits until the monitor has frozen the container and says why; the
// context bounds the wait. A freeze from before this conversation does not count.
func (w *Watch) Frozen(ctx context.Context) (run.WatchStatus, error) {
	var st run.WatchStatus
	err := waitFor(ctx, nil, w.Home.Run(w.Want.Container+run.WatchStatusFile), func(b []byte) bool {
		var s run.WatchStatus
		if json.Unmarshal(b, &s) != nil || s.Generation < w.Want.Generation || s.Frozen == nil {
			return false
		}
		st = s
		return true
	})
	return st, err
}

// Remove takes the wanted file away: the monitor lets go of the container.
func (w *Watch) Remove() error { return remove(w.Home.Run(w.Want.Container + run.WatchFile)) }
