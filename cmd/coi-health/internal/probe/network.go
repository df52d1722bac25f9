package probe

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/run"
)

// An attempt that takes longer than this was not rejected but lost.
const rejected = 1000 // ms

func (l *lab) mode() string { return l.Facts.Config.Network.Mode }

// port is one that no service of a container or of the host is likely to have.
func port() string { return strconv.Itoa(20100 + rand.IntN(9000)) } //nolint:gosec // not a secret

// denied are a's counters of refused packets as the guard last wrote them.
func (l *lab) denied() map[string]int {
	var st run.NetStatus
	if run.Read(l.Facts.Home.Run(l.a.name+run.NetStatusFile), &st) != nil || st.Denied == nil {
		return map[string]int{}
	}
	return st.Denied
}

// owe notes an attempt that the counter of a rule must show at the end.
func (l *lab) owe(rule string) {
	l.want[rule]++
	if l.owed[l.current] == nil {
		l.owed[l.current] = map[string]int{}
	}
	l.owed[l.current][rule]++
}

// settle is the third part of each refusal: the counters moved by exactly the
// number of attempts, no more, and the audit trail has a record of each rule.
func (l *lab) settle(results map[string]check.Result) {
	short := map[string]string{}
	l.eventually(3*time.Second, func() bool {
		clear(short)
		now := l.denied()
		for rule, n := range l.want {
			if got := now[rule] - l.before[rule]; got != n {
				short[rule] = fmt.Sprintf("rule %s counted %d of %d attempts", rule, got, n)
			}
		}
		if len(short) > 0 {
			return false
		}
		told := l.told()
		for rule := range l.want {
			if !told[rule] {
				short[rule] = "the audit trail has no record of rule " + rule
			}
		}
		return len(short) == 0
	})
	if l.ctx.Err() != nil {
		for rule := range short {
			short[rule] = "there was no time to see that it was counted and recorded"
		}
	}
	for name, rules := range l.owed {
		r := results[name]
		for rule, n := range rules {
			if text := short[rule]; text != "" && r.Status != check.Failed {
				r.Status, r.Message = check.Failed, "refused, but "+text
			}
			if r.Details == nil {
				r.Details = map[string]any{}
			}
			r.Details[rule] = n
		}
		results[name] = r
	}
}

// allow opens a destination for a while. Why it did not is told only when the
// control fails: without any guard everything is open anyway.
func (l *lab) allow(dest string) (undo func(), err error) {
	_, _, err = l.coi(l.ctx, nil, "coi-netguard", "allow", l.a.name, dest)
	return func() { _, _, _ = l.coi(l.ctx, nil, "coi-netguard", "allow", l.a.name, dest, "--remove") }, err
}

// dial has a try to reach a listener that echoes.
func (l *lab) dial(network, addr string) agent.Reply {
	r, err := l.a.do(agent.Request{Op: "dial", Net: network, Addr: addr, Payload: l.cookie, MS: rejected})
	if err != nil {
		return agent.Reply{Kind: "other", Error: err.Error()}
	}
	return r
}

// refusal judges an attempt that must be rejected within a second.
func refusal(r agent.Reply, what string) string {
	switch {
	case r.OK:
		return what + " was reached"
	case r.Kind != "refused" && r.Kind != "unreachable":
		return what + " was not rejected but ended with: " + r.Kind + " " + r.Error
	}
	return ""
}

// closed makes the three parts for one listener of b: control, attempt, count.
func (l *lab) closed(addr, rule string) *check.Result {
	p := port()
	dest := net.JoinHostPort(addr, p)
	fail := func(r check.Result) *check.Result { return &r }
	for _, network := range []string{"tcp", "udp"} {
		if r, err := l.b.do(agent.Request{Op: "listen", Net: network, Addr: dest}); err != nil || !r.OK {
			return fail(controlFailed("no listener on %s: %v %s", dest, err, r.Error))
		}
	}
	undo, why := l.allow(dest)
	for _, network := range []string{"tcp", "udp"} {
		if r := l.dial(network, dest); !r.OK {
			undo()
			return fail(controlFailed("%s/%s does not answer although it is allowed: %s %v", dest, network, r.Error, errText(why)))
		}
	}
	undo()
	for _, network := range []string{"tcp", "udp"} {
		if text := refusal(l.dial(network, dest), dest+"/"+network); text != "" {
			return fail(failed("%s", text))
		}
		l.owe(rule)
	}
	return nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return "(" + err.Error() + ")"
}

// privateClosed reports whether the effective configuration closes private networks.
func (l *lab) privateClosed() bool {
	c := l.Facts.Config.Network
	return c.Mode != "open" && !c.AllowLocalNetworkAccess && (c.BlockPrivateNetworks || c.Mode == "allowlist")
}

func networkPrivate(l *lab) check.Result {
	c := l.Facts.Config.Network
	if l.privateClosed() {
		for addr, rule := range map[string]string{run.ProbePrivate: "block.private", run.ProbeCGNAT: "block.cgnat"} {
			if r := l.closed(addr, rule); r != nil {
				return *r
			}
		}
	}
	// Other containers are closed in every mode, and nothing can open them.
	text := refusal(l.dial("tcp", net.JoinHostPort(l.b.ip, port())), "the other container")
	if text != "" {
		return failed("%s", text)
	}
	l.owe("sibling")
	if len(l.owed[l.current]) == 1 {
		return skipped("the mode %s and its settings leave private networks open; other containers are closed (count only)", c.Mode)
	}
	return ok("refused: private and carrier ranges over TCP and UDP; other containers (count only)")
}

func networkHost(l *lab) check.Result {
	const gateway = "169.254.0.1"
	p := port()
	addr := net.JoinHostPort(gateway, p)
	stop, err := serve(addr)
	if err != nil {
		return controlFailed("no listener on %s: %v", addr, err)
	}
	defer stop()
	name := "probe." + run.ProbeZone
	_, _, why := l.coi(l.ctx, nil, "coi-hosts", "add", l.a.name, "host", name, "--ports", p)
	reply := l.dial("tcp", addr)
	_, _, _ = l.coi(l.ctx, nil, "coi-hosts", "remove", l.a.name, name)
	if !reply.OK {
		return controlFailed("%s does not answer although it is allowed: %s %v", addr, reply.Error, errText(why))
	}
	if text := refusal(l.dial("tcp", addr), addr); text != "" {
		return failed("%s", text)
	}
	l.owe("host.service")
	n := 0
	for _, a := range hostAddresses() {
		other := net.JoinHostPort(a.String(), p)
		end, err := serve(other)
		if err != nil {
			continue
		}
		// These cannot be opened for a container: that the listener answers is shown from the host.
		err = agent.Dial("tcp", other, l.cookie, time.Second)
		reply := l.dial("tcp", other)
		end()
		if err != nil {
			return controlFailed("%s does not answer the host itself: %v", other, err)
		}
		if text := refusal(reply, other); text != "" {
			return failed("%s", text)
		}
		l.owe("host.service")
		n++
	}
	return ok("refused: %s, and %d further addresses of this host (count only)", gateway, n)
}

// serve echoes on an address of the host until the returned function is called.
func serve(addr string) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.Echo(c)
		}
	}()
	return func() { _ = l.Close() }, nil
}

// hostAddresses are the IPv4 addresses of the host but loopback and the gateway
// of containers.
func hostAddresses() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Addr())
		}
	}
	return list
}

func networkMetadata(l *lab) check.Result {
	c := l.Facts.Config.Network
	if c.Mode == "open" || c.Mode == "restricted" && !c.BlockMetadataEndpoint {
		return skipped("the effective configuration leaves metadata addresses open")
	}
	for addr, rule := range map[string]string{"169.254.169.254": "block.link-local", "100.100.100.200": "block.metadata", "168.63.129.16": "block.metadata"} {
		if text := refusal(l.dial("tcp", addr+":80"), addr); text != "" {
			return failed("%s", text)
		}
		l.owe(rule)
	}
	return ok("refused (count only)")
}

func networkOnlink(l *lab) check.Result {
	c := l.Facts.Config.Network
	if c.Mode == "open" || c.AllowLocalNetworkAccess {
		return skipped("the effective configuration leaves networks of the host open")
	}
	target, found := onlink(l.Facts)
	if !found {
		return skipped("the host has no network of its own")
	}
	rule := "block.onlink"
	switch {
	case target.IsPrivate() && c.Mode == "restricted" && !c.BlockPrivateNetworks:
		return skipped("network.block_private_networks is false")
	case target.IsPrivate():
		rule = "block.private"
	case netip.MustParsePrefix("100.64.0.0/10").Contains(target):
		rule = "block.cgnat"
	}
	if text := refusal(l.dial("tcp", target.String()+":9"), target.String()); text != "" {
		return failed("%s", text)
	}
	l.owe(rule)
	return ok("%s refused by %s (count only)", target, rule)
}

// onlink is an address of a connected network of the host that nobody is known to have.
func onlink(f *facts.Facts) (netip.Addr, bool) {
	taken := neighbours(f)
	for _, a := range hostAddresses() {
		taken[a] = true
	}
	devices, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, dev := range devices {
		addrs, _ := dev.Addrs()
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || !p.Addr().Is4() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Bits() > 29 || dev.Flags&net.FlagUp == 0 {
				continue
			}
			if at, found := unused(p, taken); found {
				return at, true
			}
		}
	}
	return netip.Addr{}, false
}

// unused is an address of a network that is not taken, from the end: whoever
// gives out addresses begins at the other one. The last is the broadcast.
func unused(p netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, bool) {
	last := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	at := netip.AddrFrom4(last)
	for range 254 {
		if at = at.Prev(); at == p.Masked().Addr() || !p.Contains(at) {
			break
		}
		if !taken[at] {
			return at, true
		}
	}
	return netip.Addr{}, false
}

// neighbours are the addresses that the host has talked to on its own networks,
// and its gateways.
func neighbours(f *facts.Facts) map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for line := range strings.Lines(f.Read("/proc/net/arp")) {
		if words := strings.Fields(line); len(words) > 0 {
			if a, err := netip.ParseAddr(words[0]); err == nil {
				taken[a] = true
			}
		}
	}
	for line := range strings.Lines(f.Read("/proc/net/route")) {
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		if n, err := strconv.ParseUint(words[2], 16, 32); err == nil {
			taken[netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})] = true
		}
	}
	return taken
}

func networkIPv6(l *lab) check.Result {
	if l.Facts.Config.Network.IPv6 {
		if !l.privateClosed() {
			return skipped("the effective configuration leaves private networks open")
		}
		if r := l.closed(run.ProbePrivate6, "block.private"); r != nil {
			return *r
		}
		return ok("a private address was refused over TCP and UDP")
	}
	// The kernel may drop at the interface, before any rule: either counts.
	sent, discards, off := 0, l.discards(), l.before["v6.off"]
	for range 3 {
		if r, err := l.a.do(agent.Request{Op: "shout", Name: "eth0"}); err != nil || !r.OK {
			return controlFailed("no IPv6 packet could be sent: %v %s", err, r.Error)
		}
		sent++
	}
	dropped := func() int { return l.discards() - discards + l.denied()["v6.off"] - off }
	if !l.eventually(2500*time.Millisecond, func() bool { return dropped() >= sent }) {
		return failed("%d of %d IPv6 packets were dropped although network.ipv6 is false", dropped(), sent)
	}
	return ok("%d packets sent, all dropped", sent)
}

// discards is how many IPv6 packets of a the kernel has dropped at its interface
// because IPv6 is off there.
func (l *lab) discards() int {
	for line := range strings.Lines(l.Facts.Read("/proc/net/dev_snmp6/" + l.a.veth)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6InDiscards" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

func networkSpoof(l *lab) check.Result {
	target := net.JoinHostPort(run.ProbePrivate, port())
	if r, err := l.b.do(agent.Request{Op: "listen", Net: "udp", Addr: target}); err != nil || !r.OK {
		return controlFailed("no listener on %s: %v %s", target, err, r.Error)
	}
	undo, why := l.allow(target)
	defer undo()
	send := func(source, mark string) error {
		r, err := l.a.do(agent.Request{Op: "raw", Source: source, Addr: target, Payload: l.cookie + mark})
		if err == nil && !r.OK {
			err = fmt.Errorf("%s", r.Error)
		}
		return err
	}
	heard := func(mark string) bool {
		r, err := l.b.do(agent.Request{Op: "heard"})
		return err == nil && strings.Contains(strings.Join(r.Text, "\n"), l.cookie+mark)
	}
	if err := send(l.a.ip, "own"); err != nil || !l.eventually(time.Second, func() bool { return heard("own") }) {
		return controlFailed("a packet with its own source did not arrive: %v %v", err, errText(why))
	}
	// The other container's address is stopped by Incus before our rule; one that
	// is routed to a, and is not a's, meets our rule alone.
	for _, source := range []string{l.b.ip, run.ProbeSpoof} {
		if err := send(source, "spoofed"); err != nil {
			return controlFailed("%v", err)
		}
	}
	// What was sent later has arrived: the other would have been before it.
	if err := send(l.a.ip, "fence"); err != nil || !l.eventually(time.Second, func() bool { return heard("fence") }) {
		return controlFailed("a packet with its own source did not arrive: %v", err)
	}
	if heard("spoofed") {
		return failed("a packet with a false source arrived")
	}
	l.owe("spoof.src")
	return ok("packets with the sources %s and %s went nowhere", l.b.ip, run.ProbeSpoof)
}
