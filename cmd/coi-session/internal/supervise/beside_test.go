package supervise

import (
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/mask"
)

// R-PATH-06: a mask that is plugged into a running container has shift, in a
// container whose workspace has none as well: plugged in without, it would take
// the file away from the host.
func TestPluggedMaskRemovesNothing(t *testing.T) {
	name, dev := plugged(mask.Cover{Path: "a/new.pem"}, "/workspace", "/m")
	if dev["shift"] != "true" || dev["readonly"] != "true" || dev["source"] != "/m/empty-file" || dev["path"] != "/workspace/a/new.pem" || name == "" {
		t.Errorf("device %s = %v", name, dev)
	}
}
