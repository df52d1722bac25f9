package supervise

import (
	"context"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/pkg/run"
)

// guardsLate bounds the pause before a guard that does not stay is started again.
const guardsLate = time.Minute

// keepGuards starts guards of a running session again that have died, where no
// service manager does and the user has the right to. Their rules stay in the
// kernel meanwhile; what the monitor sees is lost until it is back.
func (s *Supervisor) keepGuards(ctx context.Context) {
	plan := s.file.Get().Plan
	var kinds []guard.Kind
	if !plan.Unguarded {
		kinds = append(kinds, guard.Netguard)
	}
	if plan.Watched {
		kinds = append(kinds, guard.Watcher)
	}
	wait, said := run.HeartbeatEvery, ""
	for pause(ctx, wait) {
		lost := false
		for _, k := range kinds {
			if guard.Alive(s.Home, k) {
				continue
			}
			lost = true
			words := k.Program + " died and is started again"
			if _, err := guard.Ensure(s.Home, k, os.Getenv); err != nil {
				words = err.Error()
			}
			if words != said {
				s.Log.Error("session", "%s", words)
				said = words
			}
		}
		if wait = min(2*wait, guardsLate); !lost {
			wait, said = run.HeartbeatEvery, ""
		}
	}
}
