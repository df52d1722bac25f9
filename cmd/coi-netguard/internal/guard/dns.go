package guard

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// client is a container as the name server finds it by address.
type client struct {
	view *resolve.View
	box  *box
}

// publish tells the name server who may ask. A container that is held or closed
// gets no answers.
func (g *Guard) publish() {
	old := *g.views.Load()
	next := map[netip.Addr]*client{}
	for _, b := range g.boxes {
		p := b.policy
		if p == nil || p.Held() {
			continue
		}
		v := &resolve.View{Policy: p, Facts: g.facts, V6: g.v6, Open: func(a netip.Addr) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			_, ok := b.names.find(a, time.Now())
			return ok
		}}
		var before *resolve.View
		if c := old[p.V4]; c != nil && c.box == b {
			before = c.view
		}
		v.Limit(p.DNSRate, before)
		c := &client{v, b}
		next[p.V4] = c
		if p.V6.IsValid() {
			next[p.V6] = c
		}
		for _, a := range p.Extra {
			next[a] = c
		}
	}
	g.views.Store(&next)
}

// Find implements resolve.Guard.
func (g *Guard) Find(a netip.Addr) *resolve.View {
	if c := (*g.views.Load())[a]; c != nil {
		return c.view
	}
	return nil
}

var (
	errFull = errors.New("too many addresses are open")
	errHeld = errors.New("the container is held")
)

// Open implements resolve.Guard: in allowlist mode the addresses are in the
// kernel's map when it returns nil. A life is raised, never lowered.
func (g *Guard) Open(v *resolve.View, name string, ports policy.Ports, addrs []netip.Addr, life time.Duration) error {
	c := (*g.views.Load())[v.Policy.V4]
	if c == nil {
		return errHeld
	}
	b := c.box
	b.mu.Lock()
	defer b.mu.Unlock()
	// The policy may be another one than when the question came; it has the last word.
	p := b.policy
	if p == nil || p.Held() {
		return errHeld
	}
	if p.Mode == policy.Allowlist {
		var ok bool
		if ports, _, ok = p.NamePorts(name); !ok {
			return errors.New("the name is no longer allowed")
		}
	}
	err := g.openNow(b, p, name, ports, addrs, life)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	// Somebody took elements out of the map: it is written whole, then once more.
	if err := g.remap(b, p, true); err != nil {
		return err
	}
	return g.openNow(b, p, name, ports, addrs, life)
}

func (g *Guard) openNow(b *box, p *policy.Policy, name string, ports policy.Ports, addrs []netip.Addr, life time.Duration) error {
	now := time.Now()
	if len(b.names.addrs)+len(addrs) > maxNames {
		b.names.prune(now.Add(keepFor))
		if len(b.names.addrs)+len(addrs) > maxNames {
			return errFull
		}
	}
	kernel := p.Mode == policy.Allowlist
	var batch nft.Batch
	type change struct {
		o       *opened
		class   int
		expires time.Time
	}
	changes := map[netip.Addr]change{}
	chains := len(b.names.classes)
	for _, a := range addrs {
		o := b.names.addrs[a]
		if o == nil {
			o = &opened{names: map[string]policy.Ports{}, class: -1}
		}
		merged := map[string]policy.Ports{name: ports}
		open := now.Before(o.expires)
		if open {
			for n, has := range o.names {
				if n != name {
					merged[n] = has
				}
			}
		}
		class := b.names.class(union(merged))
		expires := now.Add(life)
		if open && o.expires.After(expires) {
			expires = o.expires
		}
		// Half a second is not worth a message to the kernel.
		if kernel && (!open || !o.inMap || class != o.class || expires.Sub(o.expires) > 500*time.Millisecond) {
			set := p.DynSet(a.Is6())
			if open && o.inMap {
				batch.DelElems(g.env.Table, set, []nft.Elem{elem(p, a, o.class, 0)})
			}
			batch.AddElems(g.env.Table, set, []nft.Elem{elem(p, a, class, expires.Sub(now))})
		}
		changes[a] = change{o, class, expires}
	}
	if kernel {
		if err := g.commitOpen(b, p, &batch, chains); err != nil {
			return err
		}
	}
	for a, ch := range changes {
		if now.After(ch.o.expires) {
			clear(ch.o.names)
		}
		ch.o.names[name], ch.o.class, ch.o.expires, ch.o.inMap = ports, ch.class, ch.expires, kernel
		b.names.addrs[a] = ch.o
	}
	return nil
}

// commitOpen writes new class chains, if any, and the elements that go to them.
func (g *Guard) commitOpen(b *box, p *policy.Policy, elems *nft.Batch, chains int) error {
	if len(b.names.classes) == chains {
		return g.conn.Commit(elems)
	}
	part := policy.Build(p, &g.env, b.names.classes)
	fresh := part.Chains[len(part.Chains)-(len(b.names.classes)-chains):]
	var batch nft.Batch
	batch.Put(g.env.Table, fresh, nil)
	batch.Append(elems)
	if err := g.conn.Commit(&batch); err != nil {
		b.names.classes = b.names.classes[:chains]
		return err
	}
	b.part = part
	return nil
}

// repoint makes the map of answered addresses agree with a new policy: elements
// go to the class their names have now, those without a name are deleted.
func (g *Guard) repoint(b *box) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.policy
	if p.Held() {
		return nil
	}
	err := g.remap(b, p, false)
	if err != nil {
		// An element may have ended just now; written whole it cannot matter.
		err = g.remap(b, p, true)
	}
	if err == nil {
		b.names.drop()
	}
	return err
}

// remap writes the elements that are not as they should be, or with whole all of them.
func (g *Guard) remap(b *box, p *policy.Policy, whole bool) error {
	now := time.Now()
	var batch nft.Batch
	if whole {
		batch.FlushSet(g.env.Table, p.DynSet(false).Name)
		batch.FlushSet(g.env.Table, p.DynSet(true).Name)
	}
	type change struct {
		o     *opened
		class int
		in    bool
	}
	var changes []change
	chains := len(b.names.classes)
	for a, o := range b.names.addrs {
		want := p.Mode == policy.Allowlist && len(o.names) > 0 && now.Before(o.expires)
		class := o.class
		if want {
			class = b.names.class(union(o.names))
		}
		if !whole && want == o.inMap && (!want || class == o.class) {
			continue
		}
		set := p.DynSet(a.Is6())
		if o.inMap && !whole && now.Before(o.expires) {
			batch.DelElems(g.env.Table, set, []nft.Elem{elem(p, a, o.class, 0)})
		}
		if want {
			batch.AddElems(g.env.Table, set, []nft.Elem{elem(p, a, class, o.expires.Sub(now))})
		}
		changes = append(changes, change{o, class, want})
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := g.commitOpen(b, p, &batch, chains); err != nil {
		return err
	}
	for _, c := range changes {
		c.o.class, c.o.inMap = c.class, c.in
	}
	return nil
}
