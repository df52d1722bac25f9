// Package thaw lets a container go on, whoever froze it. Incus neither shows a
// freeze that was made at the cgroup itself nor undoes it, and hangs on an
// exec, a stop or a delete of such a container; so this comes before each.
package thaw

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Door is what thawing asks of Incus.
type Door interface {
	Instance(ctx context.Context, name string) (incus.Instance, error)
	Freeze(ctx context.Context, name string) error
	Thaw(ctx context.Context, name string) error
}

// Container thaws: the monitor's freeze by the monitor, then that of Incus, and
// where there is no monitor a direct freeze by freezing and thawing once more
// through Incus. It is done when the cgroup says so; else the error names the
// cgroup's file.
func Container(ctx context.Context, h home.Home, door Door, inst incus.Instance) error {
	if !inst.Running() {
		return nil
	}
	var st run.WatchStatus
	watched := guard.Alive(h, guard.Watcher) && run.Read(h.Run(inst.Name+run.WatchStatusFile), &st) == nil
	if watched && st.Frozen != nil {
		if err := guard.OpenWatch(h, inst.Name).Thawed(ctx); err != nil {
			return fmt.Errorf("coi-watch: %w", err)
		}
	}
	now, err := door.Instance(ctx, inst.Name)
	if err != nil {
		return err
	}
	if now.Status == "Frozen" {
		if err := door.Thaw(ctx, inst.Name); err != nil {
			return err
		}
	} else if frozen, _ := cgroup(inst); frozen {
		if err := door.Freeze(ctx, inst.Name); err != nil {
			return err
		}
		if err := door.Thaw(ctx, inst.Name); err != nil {
			return err
		}
	}
	return done(ctx, inst)
}

func done(ctx context.Context, inst incus.Instance) error {
	for {
		frozen, file := cgroup(inst)
		if !frozen {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s still says frozen", file)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Frozen reports whether the cgroup of a container is frozen, by whomever.
func Frozen(inst incus.Instance) bool {
	frozen, _ := cgroup(inst)
	return inst.Running() && frozen
}

// cgroup reads the freezer of both cgroup versions; unreadable counts as not
// frozen, since then only Incus can tell.
func cgroup(inst incus.Instance) (frozen bool, file string) {
	name := "lxc.payload." + inst.Name
	if inst.Project != "" && inst.Project != "default" {
		name = "lxc.payload." + inst.Project + "_" + inst.Name
	}
	for _, f := range []string{"/sys/fs/cgroup/" + name + "/cgroup.events", "/sys/fs/cgroup/unified/" + name + "/cgroup.events"} {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), "frozen 1") {
			return true, f
		}
	}
	f := "/sys/fs/cgroup/freezer/" + name + "/freezer.state"
	if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), "FRO") {
		return true, f
	}
	return false, f
}
