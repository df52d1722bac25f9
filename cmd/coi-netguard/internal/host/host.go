// Package host is the guard's door to the host's own network: which addresses,
// networks and uplinks it has, the settings of veths, the policy rules of the latch.
package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// Net reads and sets the network of the namespace it was opened in. It is safe
// for several goroutines.
type Net struct{ h *netlink.Handle }

// Open opens the rtnetlink socket.
func Open() (*Net, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open routing socket: %w", err)
	}
	return &Net{h}, nil
}

// Close closes the socket.
func (n *Net) Close() { n.h.Close() }

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr(n.IP), ones)
}

// again repeats a dump that the kernel interrupted because something changed.
func again[T any](read func() (T, error)) (T, error) {
	for tries := 0; ; tries++ {
		v, err := read()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || tries == 10 {
			return v, err
		}
	}
}

// Facts reads what the rules depend on. pools are the guard's own address pools,
// uplinks extra interfaces that count as such; addresses routed to veths of
// other guards are added to the pools.
func (n *Net) Facts(pools []netip.Prefix, uplinks []string) (*policy.Facts, error) {
	f := &policy.Facts{Pools: slices.Clone(pools), Uplinks: slices.Clone(uplinks)}
	links, err := again(n.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	name := map[int]string{}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return n.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		p := prefix(a.IPNet)
		f.Local = append(f.Local, p.Addr())
		coi := strings.HasPrefix(name[a.LinkIndex], "coi")
		// A veth of ours has only the gateway address, which is a host of the link-local range.
		if !coi && !p.Addr().IsLoopback() && !(p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()) {
			f.Onlink = append(f.Onlink, p.Masked())
		}
	}
	if err := n.routes(f, name); err != nil {
		return nil, err
	}
	for _, list := range []*[]netip.Prefix{&f.Onlink, &f.Pools} {
		slices.SortFunc(*list, func(a, b netip.Prefix) int {
			if c := a.Addr().Compare(b.Addr()); c != 0 {
				return c
			}
			return a.Bits() - b.Bits()
		})
		*list = slices.Compact(*list)
	}
	slices.Sort(f.Uplinks)
	f.Uplinks = slices.Compact(f.Uplinks)
	return f, nil
}

func (n *Net) routes(f *policy.Facts, name map[int]string) error {
	routes, err := n.allRoutes()
	if err != nil {
		return err
	}
	for _, r := range routes {
		p := prefix(r.Dst)
		if r.Type == unix.RTN_BROADCAST && p.IsSingleIP() {
			f.Bcast = append(f.Bcast, p.Addr())
		}
		if r.Type != unix.RTN_UNICAST {
			continue
		}
		if r.Dst == nil || p.Bits() == 0 {
			if r.LinkIndex > 0 {
				f.Uplinks = append(f.Uplinks, name[r.LinkIndex])
			}
			for _, hop := range r.MultiPath {
				f.Uplinks = append(f.Uplinks, name[hop.LinkIndex])
			}
			continue
		}
		dev := name[r.LinkIndex]
		switch {
		case strings.HasPrefix(dev, "coi"):
			if p.IsSingleIP() && !run.OfProbe(p.Addr()) {
				f.Pools = append(f.Pools, p)
			}
		case r.Gw == nil && len(r.MultiPath) == 0 && r.Scope == netlink.SCOPE_LINK && p.Addr().Is4():
			f.Onlink = append(f.Onlink, p.Masked())
		case r.Gw == nil && len(r.MultiPath) == 0 && p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsMulticast() && !p.Addr().IsLoopback():
			f.Onlink = append(f.Onlink, p.Masked())
		}
	}
	return nil
}

func (n *Net) allRoutes() ([]netlink.Route, error) {
	routes, err := again(func() ([]netlink.Route, error) {
		return n.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// Routes lists the destinations of all unicast routes but default ones, with
// the interface each leads to.
func (n *Net) Routes() (map[netip.Prefix]string, error) {
	routes, err := n.allRoutes()
	if err != nil {
		return nil, err
	}
	links, err := again(n.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	name := map[int]string{}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
	}
	out := map[netip.Prefix]string{}
	for _, r := range routes {
		if p := prefix(r.Dst); r.Type == unix.RTN_UNICAST && r.Dst != nil && p.Bits() > 0 {
			out[p.Masked()] = name[r.LinkIndex]
		}
	}
	return out, nil
}

// Links lists the interfaces whose name starts with prefix: name to index.
func (n *Net) Links(prefix string) (map[string]int, error) {
	links, err := again(n.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := map[string]int{}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, prefix) {
			out[l.Attrs().Name] = l.Attrs().Index
		}
	}
	return out, nil
}

// RemoveStray deletes a veth of which both ends are in our network namespace:
// one that Incus made for a container and has forgotten. removed reports whether
// there was one. A veth whose other end is elsewhere has IFLA_LINK_NETNSID set
// (rtnetlink(7)); that of a dead namespace dies with it.
func (n *Net) RemoveStray(veth string) (removed bool, err error) {
	l, err := n.h.LinkByName(veth)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("interface %s: %w", veth, err)
	}
	if l.Type() != "veth" || l.Attrs().NetNsID >= 0 {
		return false, nil
	}
	if err := n.h.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return false, fmt.Errorf("delete interface %s: %w", veth, err)
	}
	return true, nil
}

// V6Default reports whether the host has an IPv6 default route.
func (n *Net) V6Default() bool {
	routes, err := n.allRoutes()
	return err == nil && slices.ContainsFunc(routes, func(r netlink.Route) bool {
		return r.Family == unix.AF_INET6 && r.Type == unix.RTN_UNICAST && (r.Dst == nil || prefix(r.Dst).Bits() == 0)
	})
}

// Dress gives a veth its alias and the settings that netguard wants on it.
// Settings this kernel does not have are no error.
func (n *Net) Dress(veth, alias string, ipv6 bool) error {
	var errs []error
	if l, err := n.h.LinkByName(veth); err != nil {
		return fmt.Errorf("interface %s: %w", veth, err)
	} else if l.Attrs().Alias != alias {
		errs = append(errs, n.h.LinkSetAlias(l, alias))
	}
	set := func(fam, key, value string) {
		errs = append(errs, Sysctl(filepath.Join("net", fam, "conf", veth, key), value))
	}
	set("ipv4", "rp_filter", "1")
	set("ipv4", "accept_redirects", "0")
	set("ipv4", "send_redirects", "0")
	set("ipv4", "arp_ignore", "1")
	if run.IsProbe(alias) {
		// The way back from one probe container to the other is looked up as if it
		// came out of the other's interface, where the latch stops what has no mark.
		set("ipv4", "src_valid_mark", "1")
	}
	if ipv6 {
		set("ipv6", "accept_redirects", "0")
		set("ipv6", "accept_ra", "0")
	} else {
		set("ipv6", "accept_ra", "0")
		set("ipv6", "disable_ipv6", "1")
	}
	return errors.Join(errs...)
}

// Sysctl writes a setting below /proc/sys if it has another value. One that
// does not exist is no error.
func Sysctl(key, value string) error {
	path := "/proc/sys/" + key
	old, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Forward6 switches IPv6 forwarding on. Interfaces that learn their routes from
// router advertisements go on to: the kernel stops that for a router unless
// accept_ra is 2.
func (n *Net) Forward6(uplinks []string) error {
	var errs []error
	for _, u := range uplinks {
		key := filepath.Join("net/ipv6/conf", u, "accept_ra")
		if v, err := os.ReadFile("/proc/sys/" + key); err == nil && strings.TrimSpace(string(v)) == "1" {
			errs = append(errs, Sysctl(key, "2"))
		}
	}
	return errors.Join(append(errs, Sysctl("net/ipv6/conf/all/forwarding", "1"))...)
}

// latchPriority is before every rule a VPN or an administrator usually sets and
// behind the local table.
const latchPriority = 5200

func latch(veth string, mark uint32, family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Priority, r.Family, r.IifName, r.Mask, r.Type = latchPriority, family, veth, &mark, unix.RTN_BLACKHOLE
	// The mask alone says: the bit must be 0.
	r.Table = 0
	return r
}

var families = []int{unix.AF_INET, unix.AF_INET6}

// Latch makes forwarded packets of a veth that do not carry the mark bit meet
// a blackhole, for both families. It may be called before the veth exists. put
// says that a rule was not there yet.
func (n *Net) Latch(veth string, mark uint32) (put bool, err error) {
	have, err := n.Latched(mark)
	if err != nil {
		return false, err
	}
	for _, fam := range families {
		if slices.Contains(have[veth], fam) {
			continue
		}
		switch err := n.h.RuleAdd(latch(veth, mark, fam)); {
		case err == nil:
			put = true
		case !errors.Is(err, unix.EEXIST) && !(fam == unix.AF_INET6 && errors.Is(err, unix.EAFNOSUPPORT)):
			return put, fmt.Errorf("policy rule for %s: %w", veth, err)
		}
	}
	return put, nil
}

// Unlatch takes the rules of Latch away. Those that are not there are no error.
func (n *Net) Unlatch(veth string, mark uint32) error {
	have, err := n.Latched(mark)
	if err != nil {
		return err
	}
	for _, fam := range have[veth] {
		if err := n.h.RuleDel(latch(veth, mark, fam)); err != nil {
			return fmt.Errorf("policy rule for %s: %w", veth, err)
		}
	}
	return nil
}

// Latched lists the interfaces that have a latch with this mark bit, and for
// which families.
func (n *Net) Latched(mark uint32) (map[string][]int, error) {
	out := map[string][]int{}
	for _, fam := range families {
		rules, err := again(func() ([]netlink.Rule, error) { return n.h.RuleList(fam) })
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list policy rules: %w", err)
		}
		for _, r := range rules {
			// The library does not read a rule's action; one that looks up no table ends the way.
			if r.Priority == latchPriority && r.Table == 0 && r.Mark == 0 && r.Mask != nil && *r.Mask == mark && r.IifName != "" {
				out[r.IifName] = append(out[r.IifName], fam)
			}
		}
	}
	return out, nil
}
