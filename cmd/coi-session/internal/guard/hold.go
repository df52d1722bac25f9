package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Hold asks the firewall to drop every packet of a container, or to go on with
// its policy, and waits for the answer. Letting go where nothing is held does
// nothing.
func Hold(ctx context.Context, h home.Home, container string, hold bool, reason string) error {
	path := h.Run(container + run.NetHoldFile)
	var want run.Hold
	if err := run.Read(path, &want); err != nil && !home.Missing(err) {
		return err
	}
	if want.Hold == hold {
		return nil
	}
	want.SchemaVersion, want.Generation, want.Hold, want.Reason = run.Schema, want.Generation+1, hold, reason
	if err := run.Write(path, want); err != nil {
		return err
	}
	if !Alive(h, Netguard) {
		return fmt.Errorf("%s does not run", Netguard.Program)
	}
	ctx, stop := context.WithTimeout(ctx, AnswerTimeout)
	defer stop()
	err := run.Wait(ctx, h.Run(container+run.NetStatusFile), func(b []byte) bool {
		var s run.NetStatus
		return json.Unmarshal(b, &s) == nil && s.HoldGeneration >= want.Generation
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", AnswerTimeout)
	}
	return err
}
