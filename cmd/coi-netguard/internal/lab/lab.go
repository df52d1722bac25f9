// Package lab makes networks for tests: the test process in a network namespace
// of its own as the host, further namespaces as the internet and as containers.
// Only tests import it.
package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside tells the test binary that it runs in its own namespace already.
const inside = "COI_LAB_INSIDE"

// Main runs the tests of a package in a new network namespace, in a process of
// its own so that every thread is in it. Without the right to make one the run
// fails: a test that did not run proves nothing.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		if lo, err := netlink.LinkByName("lo"); err == nil {
			_ = netlink.LinkSetUp(lo)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "a network namespace is needed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// NS is a network namespace.
type NS struct {
	h netns.NsHandle
	t testing.TB
}

// New makes a namespace with its loopback up; it ends with the test.
func New(t testing.TB) *NS {
	t.Helper()
	n := &NS{t: t}
	done := make(chan error, 1)
	go func() {
		// The thread is not given back: it dies with the goroutine.
		runtime.LockOSThread()
		var err error
		n.h, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { _ = n.h.Close() })
	n.Do(func() { up(t, "lo") })
	return n
}

// Do runs f on a thread of the namespace. Sockets that f opens belong to it.
func (n *NS) Do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := netns.Set(n.h); err != nil {
			n.t.Errorf("enter namespace: %v", err)
			return
		}
		f()
	}()
	<-done
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func up(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, name, err)
	must(t, "set up "+name, netlink.LinkSetUp(l))
	return l
}

func address(t testing.TB, l netlink.Link, prefix string) {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(t, prefix, err)
	a.Flags = unix.IFA_F_NODAD
	must(t, "add "+prefix, netlink.AddrAdd(l, a))
}

// Net is a host with the internet behind it.
type Net struct {
	t    testing.TB
	Inet *NS
}

// Addresses of the lab. All but the host's are in the internet's namespace.
const (
	HostAddr  = "192.0.2.2"
	Public    = "198.51.100.10"
	Public2   = "203.0.113.10"
	Private   = "10.9.9.9"
	Metadata  = "169.254.169.254"
	Resolver  = "8.8.8.8"
	Public6   = "2001:db8:1::10"
	Private6  = "fd99::9"
	HostAddr6 = "2001:db8::2"
)

// Internet builds the internet behind interface up0 of the host.
func Internet(t testing.TB) *Net {
	t.Helper()
	n := &Net{t: t, Inet: New(t)}
	up(t, "lo")
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(n.Inet.h)}
	must(t, "add up0", netlink.LinkAdd(v))
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	l := up(t, "up0")
	address(t, l, HostAddr+"/24")
	address(t, l, HostAddr6+"/64")
	n.Inet.Do(func() {
		eth := up(t, "eth0")
		address(t, eth, "192.0.2.1/24")
		address(t, eth, "2001:db8::1/64")
		lo, err := netlink.LinkByName("lo")
		must(t, "lo", err)
		for _, a := range []string{Public, Public2, Private, Metadata, Resolver} {
			address(t, lo, a+"/32")
		}
		for _, a := range []string{Public6, Private6} {
			address(t, lo, a+"/128")
		}
	})
	for _, via := range []string{"192.0.2.1", "2001:db8::1"} {
		must(t, "default route", netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via)}))
	}
	return n
}

// Container is a namespace connected as Incus connects a container with a
// routed nic: a veth, a host address, a route.
type Container struct {
	*NS
	Veth     string
	V4, V6   netip.Addr
	MAC, Via net.HardwareAddr // of eth0 and of the host side
	Index    int              // of eth0 inside
}

// Attach makes a container with these addresses; v6 may be the zero value.
func (n *Net) Attach(veth string, v4, v6 netip.Addr) *Container {
	t := n.t
	t.Helper()
	c := &Container{NS: New(t), Veth: veth, V4: v4, V6: v6}
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: veth}, PeerName: "eth0", PeerNamespace: netlink.NsFd(c.h)}
	must(t, "add "+veth, netlink.LinkAdd(v))
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	host := up(t, veth)
	c.Via = host.Attrs().HardwareAddr
	address(t, host, "169.254.0.1/32")
	route := func(to netip.Addr) {
		must(t, "route", netlink.RouteReplace(&netlink.Route{LinkIndex: host.Attrs().Index, Dst: &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())}, Scope: netlink.SCOPE_LINK}))
	}
	route(v4)
	if v6.IsValid() {
		address(t, host, "fe80::1/128")
		route(v6)
	}
	c.Do(func() {
		eth := up(t, "eth0")
		c.MAC, c.Index = eth.Attrs().HardwareAddr, eth.Attrs().Index
		address(t, eth, v4.String()+"/32")
		gw := net.IPv4(169, 254, 0, 1)
		must(t, "gateway", netlink.RouteAdd(&netlink.Route{LinkIndex: c.Index, Dst: &net.IPNet{IP: gw, Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK}))
		must(t, "default", netlink.RouteAdd(&netlink.Route{LinkIndex: c.Index, Gw: gw}))
		if v6.IsValid() {
			address(t, eth, v6.String()+"/128")
			must(t, "default6", netlink.RouteAdd(&netlink.Route{LinkIndex: c.Index, Gw: net.ParseIP("fe80::1")}))
		}
	})
	return c
}

// Detach deletes the container's interface.
func (c *Container) Detach() {
	if l, err := netlink.LinkByName(c.Veth); err == nil {
		must(c.t, "delete "+c.Veth, netlink.LinkDel(l))
	}
}

// HostNS is the namespace of the test process.
func HostNS(t testing.TB) *NS {
	t.Helper()
	h, err := netns.Get()
	must(t, "own namespace", err)
	t.Cleanup(func() { _ = h.Close() })
	return &NS{h: h, t: t}
}

// Rename gives a container that is attached another address.
func (c *Container) Rename(t testing.TB, v4 netip.Addr) {
	t.Helper()
	host, err := netlink.LinkByName(c.Veth)
	must(t, c.Veth, err)
	must(t, "route", netlink.RouteReplace(&netlink.Route{LinkIndex: host.Attrs().Index, Dst: &net.IPNet{IP: v4.AsSlice(), Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK}))
	c.Do(func() {
		eth, err := netlink.LinkByName("eth0")
		must(t, "eth0", err)
		old, err := netlink.ParseAddr(c.V4.String() + "/32")
		must(t, "address", err)
		address(t, eth, v4.String()+"/32")
		must(t, "old address", netlink.AddrDel(eth, old))
	})
	c.V4 = v4
}
