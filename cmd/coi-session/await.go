package main

import (
	"context"
	"encoding/json"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// waitEnded waits until the session of a container has ended, as its record says.
func waitEnded(ctx context.Context, h home.Home, container string) error {
	ctx, stop := context.WithTimeout(ctx, recordPhaseTimeout)
	defer stop()
	return run.Wait(ctx, record.Path(h, container), func(b []byte) bool {
		if b == nil {
			return true
		}
		var r record.Record
		return json.Unmarshal(b, &r) == nil && r.Ended != nil
	})
}
