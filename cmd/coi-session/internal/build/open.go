package build

import (
	"context"
	"errors"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// OpenFence is no fence: the default network of Incus, for builds that were
// asked to run without a guard.
type OpenFence struct{ Machines Machines }

// Raise answers with the nic of the default profile.
func (f OpenFence) Raise(ctx context.Context, _ string) (incus.Device, error) {
	devices, err := f.Machines.DefaultDevices(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d["type"] == "nic" && d["network"] != "" {
			return incus.Device{"type": "nic", "name": "eth0", "network": d["network"]}, nil
		}
	}
	return nil, errors.New("the default Incus profile has no network")
}

// Open has nothing to do.
func (OpenFence) Open(context.Context) error { return nil }

// Drop has nothing to do.
func (OpenFence) Drop() error { return nil }
