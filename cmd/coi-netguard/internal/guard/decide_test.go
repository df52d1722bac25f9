package guard_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// TestDecideEqualsKernel (T-NG-30, R-NET-06): for random packets under several
// policies the kernel refuses what Decide refuses, by the same rule, and passes
// what it passes.
func TestDecideEqualsKernel(t *testing.T) {
	w := newWorld(t)
	g := w.start()
	policies := []func(*run.Net){
		func(s *run.Net) {},
		func(s *run.Net) { s.Policy.Mode = "open" },
		func(s *run.Net) { s.Policy.IPv6 = true },
		func(s *run.Net) {
			s.Policy.IPv6, s.Policy.AllowLocal = true, true
			s.Policy.AllowedPorts = []string{"22", "80-443"}
		},
		func(s *run.Net) { s.Policy.BlockPrivate, s.Policy.BlockMetadata = false, false },
		func(s *run.Net) {
			s.Policy.Mode, s.Policy.IPv6 = "allowlist", true
			s.Policy.Allowed = []run.Dest{
				{Dest: "198.51.100.0/24", Ports: []string{"80", "8000-8100"}, Trusted: true},
				{Dest: "10.9.0.0/16", Ports: []string{"443"}, Trusted: true},
				{Dest: "203.0.113.10", Trusted: true},
				{Dest: "2001:db8:1::/48", Ports: []string{"443"}, Trusted: true},
			}
			s.Policy.Hosts = []run.HostEntry{{IP: "host", Names: []string{"host.lan"}, Ports: []string{"8080"}}, {IP: "10.1.2.3", Names: []string{"db.lan"}, Ports: []string{"5432"}}}
		},
		func(s *run.Net) { s.Policy.Mode = "allowlist"; s.Policy.AllowLocal = true },
		func(s *run.Net) { s.Phase = run.NetHold },
	}
	const perPolicy = 1300
	for i, change := range policies {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w.t = t
			name := fmt.Sprintf("coi-prop-%d", i)
			c := w.launch(name, func(s *run.Net) { change(s); s.Events.PerSecond = 1000 })
			compareKernel(t, w, g, c, name, change, perPolicy)
			c.Detach()
		})
	}
}

func compareKernel(t *testing.T, w *world, g *guard.Guard, c *lab.Container, name string, change func(*run.Net), n int) {
	seen := make(chan packets.Packet, 1<<16)
	g.Observe(func(p packets.Packet) { seen <- p })
	defer g.Observe(nil)
	s := w.spec(name, change)
	p, err := policy.FromSpec(&s)
	if err != nil {
		t.Fatal(err)
	}
	p.V4, p.V6 = c.V4, c.V6
	// The addresses of the device come to the guard by a message of the kernel,
	// which itself knows them at once.
	w.eventually(func() bool {
		local := g.Facts().Local
		return slices.Contains(local, policy.Gateway) && (!p.IPv6 || slices.Contains(local, policy.Gateway6))
	})
	facts := g.Facts()
	rnd := rand.New(rand.NewPCG(7, uint64(n)))
	raw := c.Raw(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var pin unix.CPUSet
	pin.Set(0)
	if err := unix.SchedSetaffinity(0, &pin); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rules := map[string]int{}
	for i := range n {
		k, sport := randomPacket(rnd, p, facts, uint16(1024+i))
		want := policy.Decide(p, facts, func(netip.Addr) (policy.Ports, bool) { return nil, false }, k)
		seg := lab.Segment(k.Proto, k.Src, k.Dst, sport, k.Port, k.Type)
		if err := raw.Send(lab.IP(k.Proto, k.Src, k.Dst, seg)); err != nil {
			t.Fatalf("send %+v: %v", k, err)
		}
		// The mark comes back after whatever the packet itself caused.
		mark := lab.IP(unix.IPPROTO_UDP, netip.MustParseAddr("192.0.2.250"), netip.MustParseAddr("198.51.100.250"), lab.Segment(unix.IPPROTO_UDP, netip.MustParseAddr("192.0.2.250"), netip.MustParseAddr("198.51.100.250"), 1, uint16(1024+i), 0))
		if err := raw.Send(mark); err != nil {
			t.Fatal(err)
		}
		got := policy.Decision{Verdict: policy.Pass}
		for done := false; !done; {
			select {
			case l := <-seen:
				switch {
				case l.Rule == "spoof.src" && l.Dst.String() == "198.51.100.250" && l.Port == uint16(1024+i):
					done = true
				case l.Rule == "flow", l.Rule == "net.c2-port", l.Rule == "net.metadata", l.Rule == "net.proto":
				case l.Dst == k.Dst && l.Proto == k.Proto:
					got = policy.Decision{Verdict: policy.Deny, Rule: l.Rule}
				}
			case <-ctx.Done():
				t.Fatalf("packet %d (%+v): the log went silent", i, k)
			}
		}
		rules[want.Rule]++
		if want.Rule == "v6.off" || k.Dst == netip.IPv6Loopback() {
			continue // the interface takes no IPv6, the stack no ::1 from outside: nothing is left to log
		}
		if (want.Verdict == policy.Pass) != (got.Verdict == policy.Pass) || got.Verdict != policy.Pass && got.Rule != want.Rule {
			t.Errorf("packet %d %+v: kernel %+v, Decide %+v", i, k, got, want)
		}
	}
	t.Logf("%d packets by rule: %v", n, rules)
}

func randomPacket(r *rand.Rand, p *policy.Policy, f *policy.Facts, sport uint16) (policy.Packet, uint16) {
	pick := func(list []string) netip.Addr { return netip.MustParseAddr(list[r.IntN(len(list))]) }
	dst4 := []string{
		lab.Public, lab.Public2, lab.Private, lab.Metadata, lab.Resolver, lab.HostAddr, "169.254.0.1", "192.0.2.1", "192.0.2.255", "255.255.255.255", "224.0.0.251", "239.1.2.3", "0.0.0.0", "0.1.2.3",
		"127.0.0.1", "127.9.9.9", "168.63.129.16", "100.100.100.200", "192.0.0.192", "192.0.0.8", "240.0.0.1", "192.88.99.1", "172.16.0.1", "172.31.255.255", "172.32.0.1", "192.168.1.1", "100.64.0.1", "100.128.0.1", "198.18.0.1",
		"198.20.0.1", "10.213.9.9", "10.0.0.1", "11.0.0.1", "1.1.1.1", "9.9.9.9", "198.51.100.77", "10.1.2.3", "8.8.4.4",
	}
	dst6 := []string{
		lab.Public6, lab.Private6, lab.HostAddr6, "2001:db8::1", "fe80::1", "fe80::2", "ff02::1", "::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "2001::1", "100::1", "2002::1", "64:ff9b::a00:1", "64:ff9b::c633:640a",
		"64:ff9b:1::1", "::ffff:10.0.0.1", "4000::1", "5f00::1", "3fff::1", "2606:4700:4700::1111", "fd63:6f69::9", "8000::1",
	}
	k := policy.Packet{Port: []uint16{22, 53, 80, 443, 853, 5432, 8050, 8080, 4444, 20053, uint16(1 + r.IntN(65535))}[r.IntN(11)]}
	six := r.IntN(3) == 0
	if six {
		k.Src, k.Dst = p.V6, pick(dst6)
		if !k.Src.IsValid() {
			k.Src = netip.MustParseAddr("fd63:6f69::2")
		}
	} else {
		k.Src, k.Dst = p.V4, pick(dst4)
		if r.IntN(4) == 0 {
			k.Dst = netip.AddrFrom4([4]byte{byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		}
	}
	if r.IntN(25) == 0 {
		k.Src = k.Src.Next()
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		k.Proto = unix.IPPROTO_TCP
	case 3, 4, 5:
		k.Proto = unix.IPPROTO_UDP
	case 6:
		k.Port = 0
		if six {
			k.Proto, k.Type = unix.IPPROTO_ICMPV6, []uint8{128, 128, 128, 137, 134}[r.IntN(5)]
		} else {
			k.Proto, k.Type = unix.IPPROTO_ICMP, []uint8{8, 8, 8, 13, 17, 5, 9, 3}[r.IntN(8)]
		}
	default:
		k.Port, k.Proto = 0, []uint8{47, 50, 99, 4}[r.IntN(4)]
	}
	return k, sport
}
