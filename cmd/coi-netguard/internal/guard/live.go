package guard

import (
	"time"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// live adds the entries of the local file that still hold. A timer brings the
// container back here when the first of them ends.
func (g *Guard) live(b *box, p *policy.Policy, l *Local) error {
	now := time.Now()
	var next time.Time
	holds := func(until *time.Time) bool {
		if until == nil {
			return true
		}
		if !now.Before(*until) {
			return false
		}
		if next.IsZero() || until.Before(next) {
			next = *until
		}
		return true
	}
	for _, e := range l.Allow {
		if !holds(e.Until) {
			continue
		}
		entry, err := LiveEntry(e, p, g.facts)
		if err != nil {
			return &policy.Error{Key: run.NetLocalFile + " allow", Problem: err.Error()}
		}
		p.Allow = append(p.Allow, entry)
	}
	for _, e := range l.Deny {
		if !holds(e.Until) {
			continue
		}
		entry, err := policy.ParseEntry(run.Dest{Dest: e.Dest, Ports: e.Ports, Trusted: true}, true)
		if err != nil {
			return &policy.Error{Key: run.NetLocalFile + " deny", Problem: err.Error()}
		}
		p.Deny = append(p.Deny, entry)
	}
	for _, e := range l.Hosts {
		if !holds(e.Until) {
			continue
		}
		h, err := policy.ParseHost(e.HostEntry)
		if err != nil {
			return &policy.Error{Key: run.NetLocalFile + " hosts", Problem: err.Error()}
		}
		h.Live = true
		p.Hosts = append(p.Hosts, h)
	}
	g.deniedAddresses(b, p)
	g.wakeAt(b, next)
	return nil
}

// LiveEntry reads an entry allowed while the container runs. It never opens what
// the user's own configuration keeps closed; the error names the key.
func LiveEntry(e Live, p *policy.Policy, f *policy.Facts) (policy.Entry, error) {
	entry, err := policy.ParseEntry(run.Dest{Dest: e.Dest, Ports: e.Ports, Trusted: true, Origin: "coi netguard allow"}, false)
	if err != nil {
		return entry, err
	}
	entry.Live = true
	return entry, p.LiveAllowed(&entry, f)
}

// deniedAddresses closes the addresses that only denied names led to, in the
// modes where names do not open addresses.
func (g *Guard) deniedAddresses(b *box, p *policy.Policy) {
	if p.Mode == policy.Allowlist {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for a, o := range b.names.addrs {
		all := len(o.names) > 0
		for name := range o.names {
			all = all && p.Denied(name) != nil
		}
		if all {
			p.Deny = append(p.Deny, policy.AddrEntry(a))
		}
	}
}

// wakeAt has the container looked at again when an entry ends.
func (g *Guard) wakeAt(b *box, at time.Time) {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if at.IsZero() {
		return
	}
	name := b.name
	b.timer = time.AfterFunc(time.Until(at)+time.Millisecond, func() {
		// After the guard has stopped nobody empties the channel.
		select {
		case g.wake <- func() { g.reconcile(name) }:
		default:
		}
	})
}
