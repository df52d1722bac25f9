package supervise

import (
	"context"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/run"
)

// secure verifies the workspace and saves the conversation of a container whose
// processes are dead.
func (s *Supervisor) secure(_ context.Context, _ incus.Instance, _ *run.End) Report {
	return Report{Op: OpSafe}
}

// thaw lets go of every freeze, the monitor's and that of Incus, before anything
// else is done to the container: an exec, a stop or a delete would hang on it.
func (s *Supervisor) thaw(ctx context.Context, inst incus.Instance) error {
	r := s.file.Get()
	if r.Plan.Watched && guard.Alive(s.Home, guard.Watcher) {
		var st run.WatchStatus
		if run.Read(s.Home.Run(r.Container+run.WatchStatusFile), &st) == nil && st.Frozen != nil {
			if err := guard.OpenWatch(s.Home, r.Container).Thawed(ctx); err != nil {
				s.Log.Error("monitor", "thawing: %s", err.Error())
			}
		}
	}
	if inst.Status == "Frozen" {
		return s.door.Thaw(ctx, inst.Name)
	}
	return nil
}
