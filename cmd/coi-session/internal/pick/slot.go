// Package pick finds the container that a command means, and the slot that a
// new session gets.
package pick

import (
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// State is what a slot of a workspace holds.
type State int

// Free: no instance. Stopped: a persistent container that may be used again.
// Leftover: a stopped one that has to be finished first. Busy: anything else.
const (
	Free State = iota
	Stopped
	Leftover
	Busy
)

// Slots is what each slot of one workspace holds; missing ones are free.
type Slots map[int]struct {
	State State
	Words string // for the list of slots, "running, claude"
}

// Wish is what is wanted of a slot.
type Wish struct {
	Slot       int  // 0: any
	Persistent bool // reuse a stopped persistent container first
	Next       bool // a busy Slot gives the next free one above (shell), else it is an error (run)
}

// Choose picks a slot. skipped is the slot that was asked for when another was
// taken instead of it.
func Choose(s Slots, w Wish) (slot, skipped int, err error) {
	if w.Slot != 0 {
		if s[w.Slot].State != Busy {
			return w.Slot, 0, nil
		}
		if !w.Next {
			return 0, 0, cli.Fail(coi.ExitFailed, "slot %d is in use: %s", w.Slot, s[w.Slot].Words).Hint("coi attach --slot %d, or leave --slot out", w.Slot)
		}
		for n := w.Slot + 1; n <= coi.MaxSlot; n++ {
			if s[n].State != Busy {
				return n, w.Slot, nil
			}
		}
		return 0, 0, full(s)
	}
	if w.Persistent {
		for n := coi.MinSlot; n <= coi.MaxSlot; n++ {
			if s[n].State == Stopped {
				return n, 0, nil
			}
		}
	}
	for n := coi.MinSlot; n <= coi.MaxSlot; n++ {
		if st := s[n].State; st == Free || st == Leftover {
			return n, 0, nil
		}
	}
	return 0, 0, full(s)
}

func full(s Slots) error {
	var list []string
	for n := coi.MinSlot; n <= coi.MaxSlot; n++ {
		if s[n].State != Free {
			list = append(list, fmt.Sprintf("%d %s", n, s[n].Words))
		}
	}
	return cli.Fail(coi.ExitFailed, "no free slot in this workspace: %s", strings.Join(list, "; ")).Hint("coi clean, or coi kill NAME")
}
