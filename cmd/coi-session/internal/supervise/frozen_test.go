package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
)

// frostyDoor is an Incus whose container is frozen by somebody else just before
// it is told to stop, in the freezer that the kernel has for it.
type frostyDoor struct {
	*fakeDoor
	set func(state string) error
}

func (d *frostyDoor) Stop(ctx context.Context, name string, force bool, grace time.Duration) error {
	return errors.Join(d.set("FROZEN"), d.fakeDoor.Stop(ctx, name, force, grace))
}

func (d *frostyDoor) Thaw(ctx context.Context, name string) error {
	return errors.Join(d.set("THAWED"), d.fakeDoor.Thaw(ctx, name))
}

// Session §6: what ran on after the thaw may be frozen once more before the stop
// reaches it; the end does not wait for a person then.
func TestFrozenWhileItStops(t *testing.T) {
	s, door := watchedStage(t, false, run.WatchSettings{})
	dir, file, states := "/sys/fs/cgroup/freezer/lxc.payload."+container, "freezer.state", map[string]string{"FROZEN": "FROZEN", "THAWED": "THAWED"}
	if _, err := os.Stat("/sys/fs/cgroup/freezer"); err != nil {
		dir, file, states = "/sys/fs/cgroup/lxc.payload."+container, "cgroup.freeze", map[string]string{"FROZEN": "1", "THAWED": "0"}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	set := func(state string) error { return os.WriteFile(filepath.Join(dir, file), []byte(states[state]), 0o600) }
	t.Cleanup(func() { _ = set("THAWED") })
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, door.init.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	s.door = &frostyDoor{door, set}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	inst, err := door.Instance(ctx, container)
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.stop(ctx, inst, dead("kill", "", 137))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
