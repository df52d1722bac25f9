package guard

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lease"
)

// choosePools takes the configured pool, or the next one that no route of the
// host overlaps. Routes to single containers of coi do not count.
func (g *Guard) choosePools() error {
	routes, err := g.net.Routes()
	if err != nil {
		return err
	}
	free := func(p netip.Prefix) bool {
		for r, dev := range routes {
			if r.Overlaps(p) && !(strings.HasPrefix(dev, "coi") && r.IsSingleIP()) {
				return false
			}
		}
		return true
	}
	want := g.o.Settings.Pool4
	for _, p := range slices.Concat([]netip.Prefix{want}, spare4) {
		if !free(p) {
			continue
		}
		if p != want {
			g.problem("pool", fmt.Sprintf("network.pool %s overlaps a route of this host; %s is used", want, p))
		}
		g.pool, err = lease.Load(filepath.Join(g.o.Dir, run.NetguardPoolFile), p, g.o.Settings.Pool6)
		return err
	}
	return fmt.Errorf("no address pool is free: %s and its replacements overlap routes of this host; set network.pool", want)
}

func (g *Guard) readFacts() error {
	facts, err := g.net.Facts([]netip.Prefix{g.pool.Pool4, g.pool.Pool6}, g.o.Settings.Uplinks)
	if err != nil {
		return err
	}
	g.facts, g.v6 = facts, g.net.V6Default()
	g.shared.Store(facts)
	return nil
}

// network reads the host's network again and, if what rules depend on is
// another now, writes the shared part of the table.
func (g *Guard) network() {
	old := g.facts
	if err := g.readFacts(); err != nil {
		g.problem("facts", err.Error())
		return
	}
	g.solve("facts")
	if cmp.Equal(old, g.facts, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
		return
	}
	g.rebase()
	g.publish()
}

// taken reports addresses that somebody else on the host is reached by. It is
// asked only when a lease is given out.
func (g *Guard) taken() (func(netip.Addr) bool, error) {
	routes, err := g.net.Routes()
	if err != nil {
		return nil, err
	}
	return func(a netip.Addr) bool {
		dev, ok := routes[netip.PrefixFrom(a, a.BitLen())]
		if !ok {
			return slices.Contains(g.facts.Local, a)
		}
		for _, b := range g.boxes {
			if b.veth() == dev && b.status.IPv4 == a.String() {
				return false
			}
		}
		return true
	}, nil
}
