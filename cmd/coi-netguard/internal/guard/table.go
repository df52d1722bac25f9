package guard

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// adopt replaces whatever table of ours is there in one transaction. Answered
// addresses and flows seen keep their remaining time.
func (g *Guard) adopt() error {
	old, err := g.read.Table(g.env.Table, keepable)
	switch {
	case errors.Is(err, nft.ErrNoTable):
		old = nil
	case err != nil:
		return err
	}
	g.persist = !g.o.Plain
	err = g.writeTable(old)
	if err != nil && g.persist && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)) {
		// Owner without persist would be a table that dies with us: both or none.
		g.persist = false
		err = g.writeTable(old)
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("write rules: %w (the right CAP_NET_ADMIN is missing, or another program owns table %s)", err, g.env.Table)
	}
	return err
}

// keepable sets are filled at run time and live on in a new table.
func keepable(set string) bool {
	for _, p := range []string{"dyn4_", "dyn6_", "flow4_", "flow6_"} {
		if strings.HasPrefix(set, p) {
			return true
		}
	}
	return false
}

// writeTable makes the table anew with all boxes that have a part. Elements of
// old are carried over where their set, and the chain they go to, is still there.
func (g *Guard) writeTable(old *nft.Table) error {
	base := policy.Base(&g.env, g.facts)
	var b nft.Batch
	// Deleting needs something to delete: a table that is there already is left as it is.
	if old != nil {
		b.DelTable(g.env.Table)
	}
	b.AddTable(g.env.Table, g.persist)
	b.Put(g.env.Table, base.Chains, base.Sets)
	var ports, fwds []nft.Elem
	for _, x := range g.boxes {
		if x.part == nil {
			continue
		}
		b.Put(g.env.Table, x.part.Chains, x.part.Sets)
		if old != nil {
			carry(&b, g.env.Table, x.part, old)
		}
		ports = append(ports, nft.Elem{Key: nft.Pad(x.spec.Veth), Goto: x.part.Out})
		fwds = append(fwds, nft.Elem{Key: nft.Pad(x.spec.Veth), Goto: x.part.Fwd})
	}
	b.AddElems(g.env.Table, base.Set("port"), ports)
	b.AddElems(g.env.Table, base.Set("fwd_port"), fwds)
	if err := g.conn.Commit(&b); err != nil {
		return err
	}
	g.tableIn = true
	for _, x := range g.boxes {
		if x.inSet = x.part != nil; x.inSet {
			x.entry = x.part.Out
		}
	}
	return nil
}

func carry(b *nft.Batch, table string, part *policy.Part, old *nft.Table) {
	for i := range part.Sets {
		s := &part.Sets[i]
		from := old.Set(s.Name)
		if !keepable(s.Name) || from == nil {
			continue
		}
		var keep []nft.Elem
		for _, e := range from.Elems {
			if !s.Map || hasChain(part.Chains, e.Goto) {
				keep = append(keep, e)
			}
		}
		b.AddElems(table, s, keep)
	}
}

func hasChain(chains []nft.Chain, name string) bool {
	for i := range chains {
		if chains[i].Name == name {
			return true
		}
	}
	return false
}

// install writes the part of one box and reads it back. When that fails twice
// the box's packets are dropped.
func (g *Guard) install(b *box, p *policy.Policy, part *policy.Part) error {
	err := g.tryInstall(b, p, part)
	if err != nil {
		err = g.tryInstall(b, p, part)
	}
	if err == nil {
		return nil
	}
	if derr := g.setEntry(b, p.Veth, "", ""); derr != nil {
		// With no entry the base drop is in force; with the old one, the old rules.
		return errors.Join(err, fmt.Errorf("and the plain drop failed too: %w", derr))
	}
	return err
}

func (g *Guard) tryInstall(b *box, p *policy.Policy, part *policy.Part) error {
	var batch nft.Batch
	batch.Put(g.env.Table, part.Chains, part.Sets)
	g.entryBatch(&batch, b, p.Veth, part.Out, part.Fwd)
	if err := g.conn.Commit(&batch); err != nil {
		return err
	}
	b.inSet, b.entry = true, part.Out
	got, err := g.read.Part(g.env.Table, part.Chains, part.Sets)
	if err != nil {
		return err
	}
	b.rules = got.Body()
	if diff := nft.Diff(&nft.Table{Chains: part.Chains, Sets: part.Sets}, got); len(diff) > 0 {
		return fmt.Errorf("the kernel holds other rules than were written: %s", strings.Join(head(diff, 3), "; "))
	}
	return nil
}

func head(list []string, n int) []string { return list[:min(n, len(list))] }

// entryBatch points the two interface maps to chains; empty names mean drop.
func (g *Guard) entryBatch(batch *nft.Batch, b *box, veth, out, fwd string) {
	maps := []struct{ name, to string }{{"port", out}, {"fwd_port", fwd}}
	for _, m := range maps {
		s := &nft.Set{Name: m.name, Key: []nft.Type{nft.IfName}, Map: true}
		e := []nft.Elem{{Key: nft.Pad(veth), Goto: m.to}}
		if b.entry != "" {
			batch.DelElems(g.env.Table, s, e)
		}
		batch.AddElems(g.env.Table, s, e)
	}
}

func (g *Guard) setEntry(b *box, veth, out, fwd string) error {
	var batch nft.Batch
	g.entryBatch(&batch, b, veth, out, fwd)
	err := g.conn.Commit(&batch)
	if err == nil {
		b.entry = "drop"
		if out != "" {
			b.entry = out
		}
	}
	return err
}

// uninstall takes chains, sets and map entries of a box out of the table.
func (g *Guard) uninstall(b *box) error {
	if !b.inSet && b.entry == "" {
		return nil
	}
	var batch nft.Batch
	if b.entry != "" {
		for _, name := range []string{"port", "fwd_port"} {
			batch.DelElems(g.env.Table, &nft.Set{Name: name, Key: []nft.Type{nft.IfName}, Map: true}, []nft.Elem{{Key: nft.Pad(b.veth())}})
		}
	}
	if b.inSet && b.part != nil {
		batch.Remove(g.env.Table, b.part.Chains, b.part.Sets)
	}
	if err := g.conn.Commit(&batch); err != nil {
		return err
	}
	b.inSet, b.entry = false, ""
	return nil
}

// rebase writes the shared part of the table in place.
func (g *Guard) rebase() {
	base := policy.Base(&g.env, g.facts)
	var batch nft.Batch
	batch.Put(g.env.Table, base.Chains, base.Sets)
	if err := g.conn.Commit(&batch); err != nil {
		g.problem("base", "shared rules were not applied: "+err.Error())
		return
	}
	g.solve("base")
}

// wantedTable is the whole table as it should be.
func (g *Guard) wantedTable() *nft.Table {
	t := policy.Base(&g.env, g.facts)
	t.Persist, t.Owned = g.persist, g.persist
	for _, b := range g.boxes {
		if b.inSet && b.part != nil {
			t.Chains = append(t.Chains, b.part.Chains...)
			t.Sets = append(t.Sets, b.part.Sets...)
		}
	}
	return t
}
