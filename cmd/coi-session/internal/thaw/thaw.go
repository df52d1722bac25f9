// Package thaw lets a container go on, whoever froze it. Incus neither shows a
// freeze that was made at the cgroup itself nor undoes it, and hangs on an
// exec, a stop or a delete of such a container; so this comes before each.
package thaw

import (
	"context"
	"errors"
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

// Again says that the monitor froze the container anew while it was thawed: a
// new finding, which nobody has let go.
type Again struct{ Name, Title string }

func (a *Again) Error() string { return a.Name + " is frozen again: " + a.Title }

// tries bounds how often Container thaws what is frozen anew each time.
const tries = 10

// Container thaws, whatever the monitor finds meanwhile: the container is about
// to be ended. It is done when the cgroup says so; else the error names the
// cgroup's file.
func Container(ctx context.Context, h home.Home, door Door, inst incus.Instance) error {
	var err error
	for range tries {
		var again *Again
		if err = Once(ctx, h, door, inst); !errors.As(err, &again) {
			return err
		}
	}
	return err
}

// Once thaws a container, of which Incus said inst just now: the monitor's freeze by the monitor, then that of Incus, and where
// there is no monitor a direct freeze by freezing and thawing once more through
// Incus. A freeze that the monitor makes meanwhile stays, and is an Again.
func Once(ctx context.Context, h home.Home, door Door, inst incus.Instance) error {
	if !inst.Running() {
		return nil
	}
	var st run.WatchStatus
	watched := guard.Alive(h, guard.Watcher) && run.Read(h.Run(inst.Name+run.WatchStatusFile), &st) == nil
	if watched && st.Frozen != nil {
		if err := guard.OpenWatch(h, inst.Name).Thawed(ctx); err != nil {
			return fmt.Errorf("coi-watch: %w", err)
		}
		var err error
		if inst, err = door.Instance(ctx, inst.Name); err != nil {
			return err
		}
	}
	if inst.Status == "Frozen" {
		if err := door.Thaw(ctx, inst.Name); err != nil {
			return err
		}
	}
	if watched {
		if err := anew(ctx, h, inst); err != nil {
			return err
		}
	}
	if frozen, _ := cgroup(inst); frozen {
		if err := door.Freeze(ctx, inst.Name); err != nil {
			return err
		}
		if err := door.Thaw(ctx, inst.Name); err != nil {
			return err
		}
	}
	return done(ctx, h, inst, watched)
}

// tellTime is how long the monitor may take to tell of a freeze that it made.
const tellTime = time.Second

// anew looks whether a container that is frozen after it was thawed is so by the
// monitor. The freeze comes first and the word of it a little later.
func anew(ctx context.Context, h home.Home, inst incus.Instance) error {
	ctx, stop := context.WithTimeout(ctx, tellTime)
	defer stop()
	for {
		frozen, _ := cgroup(inst)
		if !frozen {
			return nil
		}
		if err := told(h, inst.Name); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // nobody owns up to it: a freeze by hand
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// told is an Again when the monitor says that it froze the container.
func told(h home.Home, name string) error {
	var st run.WatchStatus
	if run.Read(h.Run(name+run.WatchStatusFile), &st) == nil && st.Frozen != nil {
		return &Again{name, st.FrozenTitle}
	}
	return nil
}

func done(ctx context.Context, h home.Home, inst incus.Instance, watched bool) error {
	for {
		frozen, file := cgroup(inst)
		if !frozen {
			return nil
		}
		if watched {
			if err := told(h, inst.Name); err != nil {
				return err
			}
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
