package lease

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
)

func free() (func(netip.Addr) bool, error) { return func(netip.Addr) bool { return false }, nil }

func open(t *testing.T, path, prefix string) *Pool {
	t.Helper()
	p, err := Load(path, netip.MustParsePrefix(prefix), netip.MustParsePrefix("fd00::/64"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Guards of two users lease at the same moment, before the kernel knows of
// either container.
func TestGuardsOfOneHostBeginApart(t *testing.T) {
	a, b := open(t, "/home/a/.coi/run/netguard.pool.json", "10.213.0.0/16"), open(t, "/home/b/.coi/run/netguard.pool.json", "10.213.0.0/16")
	a.ReadOnly()
	b.ReadOnly()
	one, err := a.Get("coi-x-1", true, free)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Get("coi-x-1", true, free)
	if err != nil {
		t.Fatal(err)
	}
	if one.V4 == two.V4 || one.V6 == two.V6 {
		t.Errorf("leases %v and %v of two guards are the same", one, two)
	}
}

// R-REG-06: a freed address is used again as late as possible, and a pool that
// is read again goes on where it was.
func TestFreedAddressComesLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pool.json")
	p := open(t, path, "10.0.0.0/29") // five addresses to lease
	seen := map[netip.Addr]bool{}
	for range 5 {
		l, err := p.Get("coi-x-1", false, free)
		if err != nil {
			t.Fatal(err)
		}
		if seen[l.V4] {
			t.Errorf("%v was leased again before the others", l.V4)
		}
		seen[l.V4] = true
		if err := p.Free("coi-x-1"); err != nil {
			t.Fatal(err)
		}
		p = open(t, path, "10.0.0.0/29")
	}
	if len(seen) != 5 {
		t.Errorf("%d addresses were leased; want 5", len(seen))
	}
}

func TestFullPoolIsAnError(t *testing.T) {
	p := open(t, filepath.Join(t.TempDir(), "pool.json"), "10.0.0.0/30")
	if l, err := p.Get("coi-x-1", false, func() (func(netip.Addr) bool, error) { return func(netip.Addr) bool { return true }, nil }); !errors.Is(err, ErrFull) {
		t.Errorf("Get = %v, %v; want ErrFull", l, err)
	}
}
