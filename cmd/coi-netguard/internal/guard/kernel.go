package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/foreign"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// watchKernel listens for changes of interfaces, addresses, routes and rules.
func (g *Guard) watchKernel(ctx context.Context) error {
	links := make(chan netlink.LinkUpdate, 64)
	addrs := make(chan netlink.AddrUpdate, 64)
	routes := make(chan netlink.RouteUpdate, 256)
	lost := func(what string) func(error) {
		return func(err error) {
			if ctx.Err() == nil {
				g.later(ctx, func() { g.relook(what + ": " + err.Error()) })
			}
		}
	}
	err := errors.Join(
		netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: lost("interfaces")}),
		netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: lost("addresses")}),
		netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: lost("routes")}))
	if err != nil {
		return fmt.Errorf("listen to the kernel: %w", err)
	}
	changes, err := nft.Watch(ctx, g.env.Table, foreign.Tables, os.Getpid())
	if err != nil {
		return err
	}
	go g.forwardEvents(ctx, links, addrs, routes, changes)
	return nil
}

func (g *Guard) forwardEvents(ctx context.Context, links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate, routes <-chan netlink.RouteUpdate, changes <-chan nft.Change) {
	network := make(chan struct{}, 1)
	kick := func() {
		select {
		case network <- struct{}{}:
		default:
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case u, ok := <-links:
			if !ok {
				links = nil
				continue
			}
			name, index := u.Attrs().Name, u.Attrs().Index
			switch b := g.boxOf(index); {
			case b != nil && b.vethName != name:
				g.later(ctx, func() { g.renamed(b, name) })
			case strings.HasPrefix(name, g.env.Prefix):
				g.later(ctx, func() { g.linkChanged(name) })
			default:
				kick()
			}
		case _, ok := <-addrs:
			if !ok {
				addrs = nil
				continue
			}
			kick()
		case _, ok := <-routes:
			if !ok {
				routes = nil
				continue
			}
			kick()
		case <-network:
			g.later(ctx, g.network)
		case c, ok := <-changes:
			if !ok {
				changes = nil
				continue
			}
			g.later(ctx, func() { g.rulesChanged(c) })
		}
	}
}

func (g *Guard) rulesChanged(c nft.Change) {
	switch {
	case c.Err != nil:
		g.relook("rules: " + c.Err.Error())
		return
	case c.Own:
		g.verify("another program changed rules")
	}
	if c.Other {
		g.neighbours()
	}
}

// neighbours sees to the other firewalls of the host: as long as there are
// containers, those that can be told to let them through are.
func (g *Guard) neighbours() {
	found, err := foreign.Settle(g.read, g.conn, g.env.Prefix, g.env.DNSPort, len(g.boxes) > 0 && g.o.Settings.ManageForeign, g.o.Settings.ManageForeign)
	if err != nil {
		g.problem("foreign", "other firewalls: "+err.Error())
		return
	}
	g.solve("foreign")
	g.state.Foreign = nil
	blocked := ""
	for _, f := range found {
		g.state.Foreign = append(g.state.Foreign, f.Text)
		if f.Blocks {
			blocked = f.Text
		}
	}
	if blocked == "" {
		g.solve("foreign-blocks")
	} else {
		g.problem("foreign-blocks", blocked)
	}
}

// conflicts looks for rules of others that are in the way of ours. They are told,
// not changed.
func (g *Guard) conflicts() {
	var err error
	if g.state.Conflicts, g.state.ForeignSeen, err = foreign.Conflicts(g.read, g.env.Mark, policy.FirstNAT); err != nil {
		g.o.Recorder.Log("", true, "rules of others: "+err.Error())
	}
}

// relook reads everything again after a lost message.
func (g *Guard) relook(why string) {
	g.o.Recorder.Log("", true, "messages of the kernel were lost, everything is read again: "+why)
	g.network()
	g.rescan()
	g.verify(why)
}

// boxOf finds the container of an interface index.
func (g *Guard) boxOf(index int) *box {
	g.books.mu.Lock()
	defer g.books.mu.Unlock()
	return g.books.byIndex[uint32(index)]
}

// renamed is a veth that has another name now: rules go by names, so its packets
// meet none of ours. The status says failed, and the watcher, which reads the
// finding, freezes the container.
func (g *Guard) renamed(b *box, name string) {
	text := fmt.Sprintf("interface %s was renamed to %s", b.veth(), name)
	g.found(b.name, "net.nic-changed", coi.High, text, "the firewall's rules go by the interface's name", map[string]any{"veth": b.veth(), "now": name})
	g.o.Recorder.Log(b.name, true, text)
	b.status.State, b.status.Error, b.status.InForce, b.status.VethSeen = run.NetFailed, text, false, false
	b.index = 0
	g.indexed()
	g.writeStatus(b)
}

// linkChanged sets up a veth that has come, and notices one that went.
func (g *Guard) linkChanged(name string) {
	for _, b := range g.boxes {
		if b.veth() != name || b.policy == nil {
			continue
		}
		seen := b.status.VethSeen
		g.dress(b)
		if seen != b.status.VethSeen {
			g.writeStatus(b)
			if !b.status.VethSeen && !exists(g.path(b.name, run.NetFile)) {
				g.gone(b)
			}
		}
		return
	}
}

// verify reads the whole table back and repairs what differs.
func (g *Guard) verify(why string) {
	diff, err := g.compare()
	if err != nil && !errors.Is(err, nft.ErrNoTable) {
		g.problem("verify", "rules could not be read back: "+err.Error())
		return
	}
	g.solve("verify")
	g.latches()
	if len(diff) == 0 && err == nil {
		now := time.Now().UTC()
		for _, b := range g.boxes {
			b.status.CheckedAt = now
			if b.policy != nil && b.index != 0 {
				g.dress(b)
			}
			g.writeStatus(b)
		}
		return
	}
	if err != nil {
		diff = []string{"- table " + g.env.Table + " is gone"}
	}
	g.repair(why, diff)
}

// latches puts back policy rules that another program took away. While the table
// stands nothing passes without them; without the table they are all there is.
func (g *Guard) latches() {
	var failed []string
	for _, b := range g.boxes {
		if b.policy == nil {
			continue
		}
		if err := g.latch(b, true); err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) > 0 {
		g.problem("latch", "latch: "+strings.Join(failed, "; "))
		return
	}
	g.solve("latch")
}

// latch makes the policy rules of a container be there. Where they should have
// been already, and were not, somebody else took them away.
func (g *Guard) latch(b *box, again bool) error {
	put, err := g.net.Latch(b.veth(), g.env.Mark)
	if put && again {
		g.found(b.name, "net.ruleset-changed", coi.Warning, "another program removed the policy rule that closes the network when the firewall's rules are gone", "it is put back", map[string]any{"veth": b.veth(), "repaired": err == nil})
	}
	return err
}

func (g *Guard) compare() ([]string, error) {
	got, err := g.read.Table(g.env.Table, func(name string) bool { return name == "port" || name == "fwd_port" || !openSet(name) })
	if err != nil {
		return nil, err
	}
	want := g.wantedTable()
	for i := range got.Sets {
		if w := want.Set(got.Sets[i].Name); w != nil {
			got.Sets[i].Open = w.Open
		}
	}
	for _, b := range g.boxes {
		if b.part != nil {
			b.mu.Lock()
			own := got.Only(b.part.Chains, b.part.Sets)
			b.rules, b.viewDue = own.Body(), true
			b.passed(own)
			b.mu.Unlock()
		}
	}
	base := policy.Base(&g.env, g.facts)
	g.sharedText = got.Only(base.Chains, base.Sets).Body()
	diff := nft.Diff(want, got)
	return append(append(diff, g.entryDiff(got)...), g.openedDiff()...), nil
}

// passed adds up what the counters of the rules that let through have come to.
func (b *box) passed(own *nft.Table) {
	var now uint64
	for _, c := range own.Chains {
		for _, r := range c.Rules {
			if r.Name == "established" || r.Name == "new" || r.Name == "dns" {
				now += r.Packets
			}
		}
	}
	if now < b.letThrough {
		b.letThrough = 0 // the rules were written anew
	}
	b.status.Passed += now - b.letThrough
	b.letThrough = now
}

// openedDiff compares the maps of answered addresses with what should be open.
// Elements about to end, or just ended, may be there or not.
func (g *Guard) openedDiff() (diff []string) {
	now := time.Now()
	for _, b := range g.boxes {
		if b.policy == nil || b.policy.Mode != policy.Allowlist || !b.inSet {
			continue
		}
		b.mu.Lock()
		for _, is6 := range []bool{false, true} {
			set := b.policy.DynSet(is6)
			if err := g.read.Elems(g.env.Table, set); err != nil {
				continue // a missing set has been found by the comparison of sets
			}
			has := map[netip.Addr]string{}
			for _, e := range set.Elems {
				a, _ := netip.AddrFromSlice(e.Key)
				has[a] = e.Goto
			}
			for a, o := range b.names.addrs {
				to, ok := has[a]
				delete(has, a)
				if o.inMap && a.Is6() == is6 && o.expires.Sub(now) > 2*time.Second && (!ok || to != b.policy.ClassChain(o.class)) {
					diff = append(diff, fmt.Sprintf("- map %s: %s : goto %s", set.Name, a, b.policy.ClassChain(o.class)))
				}
			}
			for a, to := range has {
				diff = append(diff, fmt.Sprintf("+ map %s: %s : goto %s", set.Name, a, to))
			}
		}
		b.mu.Unlock()
	}
	return diff
}

// openSet reports sets whose elements are not compared.
func openSet(name string) bool {
	for _, p := range []string{"n_", "dyn4_", "dyn6_", "out4_", "out6_", "flow4_", "flow6_", "proto_", "cl_", "lograte", "flowrate", "cloudrate"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (g *Guard) entryDiff(got *nft.Table) (diff []string) {
	has := map[string]string{}
	if s := got.Set("port"); s != nil {
		for _, e := range s.Elems {
			to := e.Goto
			if to == "" {
				to = "drop"
			}
			has[strings.TrimRight(string(e.Key), "\x00")] = to
		}
	}
	for _, b := range g.boxes {
		if b.entry != "" {
			if has[b.veth()] != b.entry {
				diff = append(diff, fmt.Sprintf("- map port: %q : %s", b.veth(), b.entry))
			}
			delete(has, b.veth())
		}
	}
	for veth, to := range has {
		diff = append(diff, fmt.Sprintf("+ map port: %q : %s", veth, to))
	}
	return diff
}

// repair writes the table anew and says what was wrong with it.
func (g *Guard) repair(why string, diff []string) {
	old, err := g.read.Table(g.env.Table, keepable)
	if err != nil {
		old = nil
	}
	text := strings.Join(head(diff, 20), "\n")
	werr := g.rewrite(old)
	for _, b := range g.boxes {
		g.found(b.name, "net.ruleset-changed", coi.High, "the firewall's rules were changed by another program", "found by: "+why, map[string]any{"diff": text, "repaired": werr == nil})
	}
	if werr != nil {
		g.problem("repair", "rules differ and could not be repaired: "+werr.Error())
		return
	}
	g.solve("repair")
	g.verifyQuietly()
}

// rewrite makes table, answered addresses and latches anew.
func (g *Guard) rewrite(old *nft.Table) error {
	g.count() // the new table counts from nothing
	werr := g.writeTable(old)
	if werr == nil {
		for _, b := range g.boxes {
			if b.policy != nil {
				b.mu.Lock()
				werr = errors.Join(werr, g.remap(b, b.policy, true))
				b.mu.Unlock()
				werr = errors.Join(werr, g.latch(b, false))
			}
		}
	}
	return werr
}

// verifyQuietly answers after a repair.
func (g *Guard) verifyQuietly() {
	diff, err := g.compare()
	if err != nil || len(diff) > 0 {
		g.problem("verify", fmt.Sprintf("rules differ right after they were written: %v %v", err, head(diff, 3)))
		return
	}
	now := time.Now().UTC()
	for _, b := range g.boxes {
		b.status.CheckedAt, b.status.AppliedAt = now, now
		g.writeStatus(b)
	}
}

// features names what of the kernel is used, and what is missing.
func (g *Guard) features() (have, missing []string) {
	if g.persist {
		have = append(have, "owner,persist")
	} else {
		missing = append(missing, "owner,persist (Linux 6.9)")
	}
	have = append(have, "latch", "conntrack")
	return have, missing
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
