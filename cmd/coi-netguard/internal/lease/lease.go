// Package lease gives containers their addresses. A lease stays until the
// container is deleted; a freed address is used again as late as possible.
package lease

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Lease is the addresses of one container.
type Lease struct {
	V4 netip.Addr `json:"ipv4"`
	V6 netip.Addr `json:"ipv6,omitzero"`
}

// Pool is the file netguard.pool.json.
type Pool struct {
	SchemaVersion int              `json:"schema_version"`
	Pool4         netip.Prefix     `json:"pool"`
	Pool6         netip.Prefix     `json:"pool6"`
	Next          uint64           `json:"next"`
	Leases        map[string]Lease `json:"leases"`

	path string
}

// ErrFull says that every address of the pool is leased or routed elsewhere.
var ErrFull = errors.New("no free address in the pool")

// Load reads the pool file. One that cannot be read is an error: guessing could
// give one address to two containers.
func Load(path string, pool4, pool6 netip.Prefix) (*Pool, error) {
	p := &Pool{path: path}
	switch err := run.Read(path, p); {
	case home.Missing(err):
		p.Next = start(path)
	case err != nil:
		return nil, err
	}
	if p.Leases == nil {
		p.Leases = map[string]Lease{}
	}
	p.SchemaVersion, p.Pool4, p.Pool6 = run.Schema, pool4.Masked(), pool6.Masked()
	return p, nil
}

// start is where a new pool begins. Each guard of a host has a place of its own:
// two that lease at the same moment see nothing of each other in the kernel yet.
func start(path string) uint64 {
	sum := sha256.Sum256([]byte(path))
	return binary.BigEndian.Uint64(sum[:])
}

// Get returns the lease of a container, giving one out if it has none. others
// gives a function that says which addresses are used by somebody else.
func (p *Pool) Get(container string, ipv6 bool, others func() (func(netip.Addr) bool, error)) (Lease, error) {
	l, ok := p.Leases[container]
	if ok && p.Pool4.Contains(l.V4) && (!ipv6 || l.V6.IsValid()) {
		return l, nil
	}
	taken, err := others()
	if err != nil {
		return Lease{}, err
	}
	used := map[netip.Addr]bool{}
	for name, other := range p.Leases {
		if name != container {
			used[other.V4] = true
		}
	}
	size := uint64(1) << min(32, p.Pool4.Addr().BitLen()-p.Pool4.Bits())
	for range size {
		// The first two and the last address are left out: network, a usual router, broadcast.
		off := p.Next % size
		p.Next = off + 1
		if size > 4 && (off < 2 || off == size-1) {
			continue
		}
		a := nth(p.Pool4, off)
		if used[a] || taken(a) {
			continue
		}
		l = Lease{V4: a}
		if ipv6 {
			l.V6 = nth(p.Pool6, off+2)
		}
		p.Leases[container] = l
		return l, p.save()
	}
	return Lease{}, ErrFull
}

// Free ends the lease of a container.
func (p *Pool) Free(container string) error {
	if _, ok := p.Leases[container]; !ok {
		return nil
	}
	delete(p.Leases, container)
	return p.save()
}

// ReadOnly has leases given out without writing them down.
func (p *Pool) ReadOnly() { p.path = "" }

func (p *Pool) save() error {
	if p.path == "" {
		return nil
	}
	if err := run.Write(p.path, p); err != nil {
		return fmt.Errorf("write leases: %w", err)
	}
	return nil
}

func nth(p netip.Prefix, n uint64) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+n)
	return netip.AddrFrom16(b)
}
