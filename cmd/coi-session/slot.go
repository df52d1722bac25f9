package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

func newID() string { return uuid.NewString() }

// chooseSlot picks the slot and takes its supervisor's lock, so that from now
// on nobody else makes or ends a container of that name.
func (b *begin) chooseSlot() (*home.Lock, error) {
	prefix := b.home.Prefix + coi.Hash8(b.identity) + "-"
	names, err := b.door.Names(b.c, prefix)
	if err != nil {
		return nil, incusError(err, b.cfg.Incus.Group)
	}
	slots, err := b.slotsAway(prefix)
	if err != nil {
		return nil, err
	}
	found := map[int]incus.Instance{}
	for _, name := range names {
		_, n, ok := coi.SplitName(b.home.Prefix, name)
		if !ok || slots[n].State == pick.Busy {
			continue
		}
		inst, living := b.living(name)
		if !living {
			inst, err = b.door.Instance(b.c, name)
			if errors.Is(err, incus.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		s := slots[n]
		s.State, s.Words = b.slotState(inst)
		slots[n] = s
		found[n] = inst
	}
	if err := b.elsewhere(found); err != nil {
		return nil, err
	}
	b.letFinish(slots, found)
	for n := coi.MinSlot; n <= coi.MaxSlot; n++ {
		// A supervisor that still holds its lock has not finished with the name.
		if s := slots[n]; s.State != pick.Busy && home.Held(record.LockPath(b.home, coi.ContainerName(b.home.Prefix, b.identity, n))) {
			s.State, s.Words = pick.Busy, "being ended"
			slots[n] = s
		}
	}
	if b.shell != nil && b.shell.Background && b.flags.Slot != 0 && slots[b.flags.Slot].State == pick.Busy {
		return nil, cli.Fail(coi.ExitFailed, "slot %d is in use: %s", b.flags.Slot, slots[b.flags.Slot].Words).Hint("coi attach --slot %d", b.flags.Slot)
	}
	wish := b.flags.Slot
	if wish == 0 && b.wishSlot != 0 && slots[b.wishSlot].State != pick.Busy {
		wish = b.wishSlot
	}
	slot, skipped, err := pick.Choose(slots, pick.Wish{Slot: wish, Persistent: b.cfg.Container.Persistent, Next: b.kind == record.Shell})
	if err != nil {
		return nil, err
	}
	if skipped != 0 {
		b.c.Note(fmt.Sprintf("slot %d is in use, taking slot %d", skipped, slot))
	}
	b.slot, b.container = slot, coi.ContainerName(b.home.Prefix, b.identity, slot)
	b.others(found)
	if slots[slot].State == pick.Leftover {
		if err := b.finishLeftover(); err != nil {
			return nil, err
		}
	}
	lock, err := home.TryLock(record.LockPath(b.home, b.container))
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "%s is being started or ended by another command: %w", b.container, err).Hint("try again")
	}
	if slots[slot].State == pick.Stopped {
		// Read again under the lock: a supervisor may just have changed it.
		inst, err := b.door.Instance(b.c, b.container)
		if err == nil {
			err = pick.Away(inst)
		}
		if err != nil {
			lock.Unlock()
			return nil, err
		}
		b.old = &inst
	}
	return lock, nil
}

// living is a container as its session describes it, while that is running and
// its supervisor at work: to ask Incus for each would make the tenth session of a
// workspace slower to start than the first.
func (b *begin) living(name string) (incus.Instance, bool) {
	r, err := record.Read(b.home, name)
	if err != nil || r.Container != name || r.Phase != run.Running || r.Ended != nil || !home.Held(record.LockPath(b.home, name)) {
		return incus.Instance{}, false
	}
	return incus.Instance{Name: name, Status: "Running", Config: map[string]string{
		plan.KeyVersion: "1", plan.KeyWorkspace: r.Workspace, plan.KeyTool: r.Tool, plan.KeyPersistent: strconv.FormatBool(r.Persistent),
	}}, true
}

// slotsAway are the slots whose names are taken on other machines of a cluster.
// What is there is not asked: it belongs to the session of that machine, and the
// machine may be down.
func (b *begin) slotsAway(prefix string) (pick.Slots, error) {
	slots := pick.Slots{}
	if here, err := b.door.Member(b.c); err != nil || here == "" {
		return slots, err
	}
	all, err := b.door.Instances(b.c)
	if err != nil {
		return nil, incusError(err, b.cfg.Incus.Group)
	}
	for _, i := range all {
		if _, n, ok := coi.SplitName(b.home.Prefix, i.Name); ok && i.Away != "" && strings.HasPrefix(i.Name, prefix) {
			s := slots[n]
			s.State, s.Words = pick.Busy, fmt.Sprintf("%s on the cluster member %s", i.Name, i.Away)
			slots[n] = s
		}
	}
	return slots, nil
}

// elsewhere keeps one session name from being in two places: a container that
// runs keeps its workspace, a stopped one gets the new one with its next start.
func (b *begin) elsewhere(found map[int]incus.Instance) error {
	for _, i := range found {
		if at := i.Config[plan.KeyWorkspace]; i.Running() && at != b.ws.Path {
			return cli.Fail(coi.ExitFailed, "session %s runs in %s", cli.Escape(b.cfg.Container.SessionName), cli.Escape(at)).
				Hint("coi attach %s", i.Name).Hint("coi shutdown %s", i.Name)
		}
	}
	return nil
}

// finishTime is how long a start waits for a persistent container that is just
// being put away, instead of making another one. Usually that is a moment; after
// a crash of Incus it is as long as the processes inside need to end.
const finishTime = time.Minute

// letFinish waits for supervisors that are about to let go of a persistent
// container, when such a one is wanted, and for Incus to see that it has stopped:
// of one whose init just died it says running once more for a moment.
func (b *begin) letFinish(slots pick.Slots, found map[int]incus.Instance) {
	if !b.cfg.Container.Persistent {
		return
	}
	ctx, stop := context.WithTimeout(b.c, finishTime)
	defer stop()
	for n, s := range slots {
		ending := s.State == pick.Busy && b.ending(found[n])
		if s.State != pick.Stopped && !ending {
			continue
		}
		name := coi.ContainerName(b.home.Prefix, b.identity, n)
		_, done := b.c.Step("waiting for " + name + ", which is being put away")
		if l, err := home.WaitLock(ctx, record.LockPath(b.home, name)); err == nil {
			l.Unlock()
		}
		for ending {
			inst, err := b.door.Instance(ctx, name)
			if err == nil && !inst.Running() {
				s.State, s.Words = b.slotState(inst)
				slots[n], found[n] = s, inst
				break
			}
			select {
			case <-ctx.Done():
				ending = false
			case <-time.After(50 * time.Millisecond):
			}
		}
		done()
	}
}

// ending reports whether a persistent container that runs for Incus has a session
// that is at its end.
func (b *begin) ending(i incus.Instance) bool {
	if !i.Running() || i.Config[plan.KeyPersistent] != "true" {
		return false
	}
	r, err := record.Read(b.home, i.Name)
	return err == nil && (r.Ended != nil || r.Phase == run.Saving)
}

func (b *begin) slotState(i incus.Instance) (pick.State, string) {
	words := fmt.Sprintf("%s %s", i.Name, i.Status)
	switch {
	case i.Config[plan.KeyVersion] == "":
		return pick.Busy, words + " (not made by coi)"
	case i.Running():
		return pick.Busy, words + ", " + i.Config[plan.KeyTool]
	case i.Config[plan.KeyPersistent] == "true":
		return pick.Stopped, words + " (persistent)"
	}
	return pick.Leftover, words
}

// finishLeftover brings a session whose container was left behind to its end:
// saved and deleted, before its slot is used again.
func (b *begin) finishLeftover() error {
	if r, err := record.Read(b.home, b.container); err == nil && r.Ended == nil {
		if err := supervise.Start(b.container); err != nil {
			return err
		}
		return waitEnded(b.c, b.home, b.container)
	}
	if err := b.door.Settle(b.c, b.container); err != nil {
		return err
	}
	return b.door.Delete(b.c, b.container)
}

// takeName takes the lock of a container with a name of its own.
func (b *begin) takeName() (*home.Lock, error) {
	inst, err := b.door.Instance(b.c, b.container)
	switch {
	case err == nil && inst.Away != "":
		return nil, pick.Away(inst)
	case b.old == nil && err == nil:
		return nil, cli.Fail(coi.ExitFailed, "%s exists", inst.Name).Hint("choose another name, or coi container delete %s", inst.Name)
	case b.old != nil && err == nil:
		b.old = &inst
		b.slot, _ = strconv.Atoi(inst.Config[plan.KeySlot])
		if id := inst.Config[plan.KeyIdentity]; id != "" {
			b.identity = id
		}
	case !errors.Is(err, incus.ErrNotFound):
		return nil, err
	}
	lock, err := home.TryLock(record.LockPath(b.home, b.container))
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "%s is being started or ended by another command: %w", b.container, err).Hint("try again")
	}
	return lock, nil
}
