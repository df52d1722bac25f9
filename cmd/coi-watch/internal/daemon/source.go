package daemon

import (
	"fmt"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/procconn"
)

// slots is how many containers can be told apart at once.
const slots = bpf.Slots

// source tells what processes do: eBPF, else the process connector, else looks
// at /proc.
type source interface {
	names() []string
	problems() []string
	// watch begins to tell about a group; the records go to the container's inbox.
	watch(g *cgroup.Group, slot uint32) (unwatch func(), err error)
	// lost is the number of events of a container that will never arrive.
	lost(slot uint32) uint64
	sensor() sensor
	// settle hands over what happened until now and was not handed over yet. It
	// does not wait for anything that happens later.
	settle()
	close()
}

// Tiers of the process sensor, best first. Options.Tier begins lower down.
const (
	TierBPF       = "ebpf"
	TierConnector = "connector"
	TierScan      = "scan"
)

// openSource takes the best source that works here, at most the one asked for.
func openSource(d *Daemon) source {
	why := fmt.Errorf("asked for")
	if d.Tier == "" || d.Tier == TierBPF {
		if d.layout.Unified == "" {
			why = fmt.Errorf("no unified control groups")
		} else if s, err := bpf.Open(); err != nil {
			why = err
		} else {
			return newBPF(d, s)
		}
	}
	if d.Tier != TierScan {
		s, err := procconn.Open()
		if err == nil {
			return &connSource{known: newKnown(d), s: s, why: why}
		}
		why = fmt.Errorf("%w; %w", why, err)
	}
	return &scanSource{known: newKnown(d), why: why, seen: map[uint32]map[int]uint64{}}
}
