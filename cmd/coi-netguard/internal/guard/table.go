package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

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
	if err != nil && !errors.Is(err, unix.EPERM) && !g.featureError(err) && g.anyPart() {
		// One container's rules may be at fault: the base drop comes first, then each by itself.
		for _, b := range g.boxes {
			b.part, b.policy = nil, nil
		}
		err = g.writeTable(nil)
	}
	if err != nil && g.persist && g.featureError(err) {
		// Owner without persist would be a table that dies with us: both or none.
		g.persist = false
		err = g.writeTable(old)
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("write rules: %w (the right CAP_NET_ADMIN is missing, or another program owns table %s)", err, g.env.Table)
	}
	return err
}

// featureError reports whether the kernel refused the flags of the table, which
// is the first or, after a deletion, the second message.
func (g *Guard) featureError(err error) bool {
	var e *nft.Error
	return errors.As(err, &e) && e.Message <= 2 && (e.Errno == unix.EOPNOTSUPP || e.Errno == unix.EINVAL)
}

func (g *Guard) anyPart() bool {
	for _, b := range g.boxes {
		if b.part != nil {
			return true
		}
	}
	return false
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
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, o := range x.names.addrs {
			o.inMap = false // what is carried over says so again
		}
		b.Put(g.env.Table, x.part.Chains, x.part.Sets)
		if old != nil {
			carry(&b, g.env.Table, x, old, time.Now())
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
		// Without the old table nobody knows which flows there are.
		x.flowsLost = x.flowsLost || old == nil
		if x.inSet = x.part != nil; x.inSet {
			x.entry = x.part.Out
		} else {
			x.entry = ""
		}
	}
	return nil
}

// carry takes elements over. What an element goes to is known by what that chain
// did, not by its name: numbers of classes are given anew by each guard.
func carry(b *nft.Batch, table string, x *box, old *nft.Table, now time.Time) {
	does := map[string]string{}
	for i := range x.part.Chains {
		c := nft.Chain{Name: "", Rules: x.part.Chains[i].Rules}
		does[c.Text(false)] = x.part.Chains[i].Name
	}
	for i := range x.part.Sets {
		s := &x.part.Sets[i]
		from := old.Set(s.Name)
		if !keepable(s.Name) || from == nil {
			continue
		}
		var keep []nft.Elem
		for _, e := range from.Elems {
			if !s.Map {
				keep = append(keep, e)
				continue
			}
			c := old.Chain(e.Goto)
			if c == nil {
				continue
			}
			to, same := does[(&nft.Chain{Rules: c.Rules}).Text(false)]
			if !same || !x.adopted(e, to, now) {
				continue
			}
			e.Goto = to
			keep = append(keep, e)
		}
		b.AddElems(table, s, keep)
	}
}

// adopted notes an address that the kernel has open. One whose name was not
// written down in time is open for what its class says until it ends.
func (b *box) adopted(e nft.Elem, chain string, now time.Time) bool {
	a, ok := netip.AddrFromSlice(e.Key)
	class := -1
	for i := range b.names.classes {
		if b.policy.ClassChain(i) == chain {
			class = i
		}
	}
	if !ok || class < 0 {
		return false
	}
	o := b.names.addrs[a]
	if o == nil {
		if !b.unchanged {
			return false // nobody can say whether its name is still allowed
		}
		o = &opened{names: map[string]policy.Ports{unnamed: b.names.classes[class]}}
		b.names.addrs[a], b.names.adopted = o, entriesOf(b.policy)
	}
	o.class, o.inMap, o.expires = class, true, now.Add(time.Duration(e.Expires)*time.Millisecond)
	return true
}

// install writes the part of one box and reads it back: first what differs from
// the part in force, and if that fails, all of it. When that fails too the box's
// packets are dropped.
func (g *Guard) install(b *box, p *policy.Policy, part *policy.Part) error {
	first := part
	if b.inSet && b.part != nil && b.entry == part.Out && b.status.State != run.NetFailed {
		first = changed(b.part, part)
	}
	err := g.tryInstall(b, p, first, part)
	if err != nil {
		err = g.tryInstall(b, p, part, part)
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

// changed are the chains and sets of next that prev does not have in that form.
func changed(prev, next *policy.Part) *policy.Part {
	had := map[string]string{}
	for i := range prev.Chains {
		had["chain "+prev.Chains[i].Name] = prev.Chains[i].Text(false)
	}
	for i := range prev.Sets {
		had["set "+prev.Sets[i].Name] = prev.Sets[i].Text()
	}
	out := &policy.Part{Out: next.Out, Fwd: next.Fwd}
	for i := range next.Chains {
		if c := next.Chains[i]; had["chain "+c.Name] != c.Text(false) {
			out.Chains = append(out.Chains, c)
		}
	}
	for i := range next.Sets {
		if s := next.Sets[i]; had["set "+s.Name] != s.Text() {
			out.Sets = append(out.Sets, s)
		}
	}
	return out
}

// tryInstall writes some, which is a part of all, and reads it back.
func (g *Guard) tryInstall(b *box, p *policy.Policy, some, all *policy.Part) error {
	var batch nft.Batch
	batch.Put(g.env.Table, some.Chains, some.Sets)
	if b.entry != all.Out {
		g.entryBatch(&batch, b, p.Veth, all.Out, all.Fwd)
	}
	if err := g.conn.Commit(&batch); err != nil {
		return err
	}
	b.inSet, b.entry = true, all.Out
	got, err := g.read.Part(g.env.Table, some.Chains, some.Sets)
	if err != nil {
		return err
	}
	if diff := nft.Diff(&nft.Table{Chains: some.Chains, Sets: some.Sets}, got); len(diff) > 0 {
		return fmt.Errorf("the kernel holds other rules than were written: %s", strings.Join(head(diff, 3), "; "))
	}
	// What was read is what is wanted, and the rest has not changed.
	b.rules = partText(all)
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

// uncount takes an interface out of the shared counters and rates. Left there
// it would count for the next container of that name, and take one of the places
// of which there are only so many: a full set neither counts nor logs a new one.
func (g *Guard) uncount(veth string) error {
	var batch nft.Batch
	for _, s := range policy.Base(&g.env, g.facts).Sets {
		if !s.Dynamic {
			continue
		}
		// Deleting what is not there would fail the whole transaction.
		has := nft.Set{Name: s.Name, Key: s.Key}
		if err := g.read.Elems(g.env.Table, &has); err != nil {
			return fmt.Errorf("read set %s: %w", s.Name, err)
		}
		for _, e := range has.Elems {
			if nft.Unpad(e.Key) == veth {
				batch.DelElems(g.env.Table, &s, []nft.Elem{{Key: e.Key}})
			}
		}
	}
	return g.conn.Commit(&batch)
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
