package check

import (
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	own "github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/run"
)

func network() []Check {
	const g = "network"
	return []Check{
		{"netguard", g, "the firewall runs", netguard},
		{"guard_rules", g, "rules of running containers", guardRules},
		{"guard_tables", g, "table and hooks", guardTables},
		{"network_pool", g, "addresses for containers", networkPool},
		{"uplinks", g, "a way out", uplinks},
		{"ip_forwarding", g, "forwarding", forwarding},
		{"forward_policy", g, "other firewalls let coi pass", forwardPolicy},
		{"foreign_rules", g, "other firewalls leave coi alone", foreignRules},
		{"dns_upstream", g, "resolvers of the host", dnsUpstream},
		{"conntrack", g, "connection table", conntrack},
		{"ipv6", g, "IPv6", ipv6},
		{"orphaned_rules", g, "rules without a container", orphanedRules},
	}
}

const guardHint = "systemctl enable --now coi-netguard@$USER, or run a session as root to have it started"

func mode(f *facts.Facts) string {
	if f.Config == nil {
		return "restricted"
	}
	return f.Config.Network.Mode
}

func netguard(f *facts.Facts) Result {
	down := func(text string) Result {
		r := failed(text+", and the network mode is "+mode(f), guardHint)
		if mode(f) == "open" {
			r = warn(text, guardHint)
		}
		return r.unit(f, "coi-netguard")
	}
	switch {
	case f.Netguard == nil:
		if len(f.Running()) == 0 && startsItself(f, "coi-netguard") {
			return ok("not running; the next session starts it")
		}
		return down("not running")
	case !f.Netguard.Alive(f.Now):
		if len(f.Running()) == 0 && startsItself(f, "coi-netguard") {
			return ok("not running; the next session starts it")
		}
		return down("no sign of life since " + f.Netguard.HeartbeatAt.Format(time.TimeOnly))
	case len(f.Netguard.Problems) > 0:
		return warn(strings.Join(f.Netguard.Problems, "; "), "coi netguard check")
	case f.Netguard.Version != "" && f.Netguard.Version != own.Number:
		const hint = "sudo systemctl restart coi-netguard@$USER: rules stay in force meanwhile"
		r := failed("version "+f.Netguard.Version+" runs, "+own.Number+" is installed, and the network mode is "+mode(f), hint)
		if mode(f) == "open" {
			r = warn("version "+f.Netguard.Version+" runs, "+own.Number+" is installed", hint)
		}
		return r
	}
	r := ok("pid %d, %s", f.Netguard.PID, f.Netguard.Version).with("pid", f.Netguard.PID)
	if byHand(f, "coi-netguard") {
		r = warn("started by hand: it is gone after the next start of the machine", guardHint).with("pid", f.Netguard.PID).unit(f, "coi-netguard")
	}
	return r
}

// byHand reports whether a running guard has no unit that would start it again,
// on a machine with systemd where no session could do that either.
func byHand(f *facts.Facts, program string) bool {
	user := f.Getenv("USER")
	if !f.Exists("/run/systemd/system") || user == "" || startsItself(f, program) {
		return false
	}
	return !f.Linked("/etc/systemd/system/multi-user.target.wants/" + program + "@" + user + ".service")
}

// guardRules trusts the guard's own last reading of the kernel.
func guardRules(f *facts.Facts) Result {
	var bad, weak []string
	running := f.Running()
	for _, s := range running {
		switch {
		case s.Status == nil:
			if mode(f) != "open" {
				bad = append(bad, s.Name+" has no answer of the guard")
			}
		case s.Status.State == run.NetDegraded:
			weak = append(weak, s.Name+": "+strings.Join(s.Status.Problems, ", "))
		case s.Status.State != run.NetEnforcing:
			bad = append(bad, s.Name+": "+s.Status.State+" "+s.Status.Error)
		case f.Now.Sub(s.Status.CheckedAt) > time.Minute:
			bad = append(bad, s.Name+" was last verified at "+s.Status.CheckedAt.Format(time.TimeOnly))
		}
	}
	again := Remedy{Why: "the guard reads its rules back and repairs what differs", Command: []string{"coi", "netguard", "check"}}
	switch {
	case len(bad) > 0:
		return failed(strings.Join(bad, "; "), "coi netguard check").remedy(again)
	case len(weak) > 0:
		return warn(strings.Join(weak, "; "), "coi netguard check").remedy(again)
	}
	return ok("%d running, all enforced", len(running))
}

// guardTables trusts the guard's own reading of the kernel as well: it names
// rules that could not be written, read or repaired, and features that are missing.
func guardTables(f *facts.Facts) Result {
	if f.Netguard == nil || !f.Netguard.Alive(f.Now) {
		return skipped("the guard does not run")
	}
	for _, p := range f.Netguard.Problems {
		if strings.HasPrefix(p, "rules ") || strings.HasPrefix(p, "shared rules ") {
			return failed(p, "coi netguard check").remedy(Remedy{Why: "the guard reads its rules back and repairs what differs", Command: []string{"coi", "netguard", "check"}})
		}
	}
	for _, p := range f.Netguard.Problems {
		if strings.HasPrefix(p, "latch: ") {
			return warn("what closes the network when the table is gone cannot be put back: "+p, "coi netguard check").
				remedy(Remedy{Why: "the guard puts it back", Command: []string{"coi", "netguard", "check"}})
		}
	}
	if len(f.Netguard.Missing) > 0 {
		return warn("this kernel does not protect the table from other programs: no "+strings.Join(f.Netguard.Missing, ", "), "install kernel 6.9 or newer")
	}
	return ok("verified by the guard")
}

func networkPool(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	const hint = "set network.pool in ~/.coi/config.toml"
	pool := f.Config.Network.Pool
	if f.Netguard != nil && f.Netguard.Alive(f.Now) && f.Netguard.Pool != "" {
		inUse, err := netip.ParsePrefix(f.Netguard.Pool)
		if err == nil && inUse != pool {
			return leased(f, inUse, warn(fmt.Sprintf("%s is used in place of %s, which overlaps a route of this host", inUse, pool), hint))
		}
		if err == nil {
			return leased(f, inUse, ok("%s", inUse))
		}
	}
	for _, r := range routes(f) {
		if r.prefix.Bits() > 0 && r.prefix.Bits() < 32 && r.prefix.Overlaps(pool) && !strings.HasPrefix(r.dev, "coi") {
			return warn(fmt.Sprintf("%s overlaps the route %s on %s: another pool will be used", pool, r.prefix, r.dev), hint)
		}
	}
	return leased(f, pool, ok("%s", pool))
}

// leased adds to a result how many addresses are given out: all of them are too
// many, and from nine of ten on it is time to do something.
func leased(f *facts.Facts, pool netip.Prefix, r Result) Result {
	// The first two addresses and the last are nobody's.
	size, used := uint64(1)<<min(62, pool.Addr().BitLen()-pool.Bits()), uint64(len(f.Leases))
	size -= min(size, 3)
	const hint = "coi netguard clean --orphans, or a larger network.pool in ~/.coi/config.toml"
	switch text := fmt.Sprintf("%s: %d of %d addresses are leased", pool, used, size); {
	case used >= size:
		r = failed(text, hint)
	case used*10 >= size*9:
		r = warn(text, hint)
	}
	return r.with("leases", used).with("addresses", size)
}

type route struct {
	prefix netip.Prefix
	dev    string
}

// routes reads /proc/net/route: interface, destination and mask as little-endian hex.
func routes(f *facts.Facts) []route {
	var list []route
	for i, line := range strings.Split(f.Read("/proc/net/route"), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) < 8 {
			continue
		}
		var dst, mask uint32
		if _, err := fmt.Sscanf(fields[1]+" "+fields[7], "%x %x", &dst, &mask); err != nil {
			continue
		}
		bits := 0
		for m := mask; m != 0; m >>= 1 {
			bits += int(m & 1)
		}
		addr := netip.AddrFrom4([4]byte{byte(dst), byte(dst >> 8), byte(dst >> 16), byte(dst >> 24)})
		list = append(list, route{netip.PrefixFrom(addr, bits), fields[0]})
	}
	return list
}

func uplinks(f *facts.Facts) Result {
	var devs []string
	for _, r := range routes(f) {
		if r.prefix.Bits() == 0 {
			devs = append(devs, r.dev)
		}
	}
	if len(devs) == 0 {
		return warn("no default route: the host is offline", "connect the host")
	}
	slices.Sort(devs)
	devs = slices.Compact(devs)
	if f.Netguard != nil && f.Netguard.Alive(f.Now) && len(f.Netguard.Uplinks) > 0 {
		for _, dev := range devs {
			if !slices.Contains(f.Netguard.Uplinks, dev) {
				return warn("the way out by "+dev+" is not in the rules, which have "+strings.Join(f.Netguard.Uplinks, ", "), "add it to network.uplinks, or remove that key")
			}
		}
	}
	return ok("%s", strings.Join(devs, ", "))
}

func forwarding(f *facts.Facts) Result {
	if n, known := f.Int("/proc/sys/net/ipv4/ip_forward"); !known {
		return skipped("not readable")
	} else if n == 0 {
		return warn("off; the guard turns it on with the first session", "sudo sysctl -w net.ipv4.ip_forward=1").
			remedy(Remedy{Why: "forwarding for containers", Command: []string{"sysctl", "-w", "net.ipv4.ip_forward=1"}, Root: true})
	}
	return ok("on")
}

// forwardPolicy: the guard puts its permits into other firewalls where it can.
// Whom it cannot tell, its record names with the command.
func forwardPolicy(f *facts.Facts) Result {
	alive := f.Netguard != nil && f.Netguard.Alive(f.Now)
	if alive {
		for _, p := range f.Netguard.Problems {
			if strings.Contains(p, "drops what it does not know") {
				return failed(p, "set network.manage_foreign = true, or let coi+ through in that firewall")
			}
		}
		for _, text := range f.Netguard.Foreign {
			if what, command, found := strings.Cut(text, "run: "); found {
				return warn(strings.TrimSuffix(strings.TrimSpace(what), ";"), "sudo "+strings.ReplaceAll(command, "&& ", "&& sudo "))
			}
		}
	}
	if slices.Contains(strings.Fields(f.Read("/proc/net/ip_tables_names")), "filter") {
		return warn("iptables-legacy is in use; its FORWARD policy cannot be seen from here", "sudo iptables-legacy -S FORWARD; if it drops: sudo iptables-legacy -I FORWARD -i coi+ -j ACCEPT")
	}
	if f.Exists("/run/firewalld") || f.Exists("/var/run/firewalld.pid") {
		return warn("firewalld runs and may reject forwarded packets", "sudo firewall-cmd --permanent --zone=trusted --add-interface=coi+ && sudo firewall-cmd --reload")
	}
	if alive && len(f.Netguard.Foreign) > 0 {
		return ok("%s", strings.Join(f.Netguard.Foreign, "; "))
	}
	return ok("the guard adds its own permits where it must")
}

// foreignRules can only repeat what the guard found: reading the rules of others
// needs its right. Where it could not read all of them, nothing found is no proof.
func foreignRules(f *facts.Facts) Result {
	if f.Netguard == nil || !f.Netguard.Alive(f.Now) {
		return skipped("only the guard can read the rules")
	}
	if c := f.Netguard.Conflicts; len(c) > 0 {
		hint := "set network.mark to a free bit"
		if !strings.Contains(strings.Join(c, " "), "mark bit") {
			hint = "move that chain behind coi's, or let it leave interfaces coi+ alone"
		}
		return warn(strings.Join(c, "; "), hint)
	}
	if !f.Netguard.ForeignSeen {
		return skipped("not all rules of others can be read: iptables-legacy is in use, or a rule is of a kind that the guard does not know")
	}
	return ok("no rule of others uses coi's mark bit or translates addresses first")
}

// Servers are the name servers that sessions are answered from: those of the
// configuration, else those of the host.
func Servers(f *facts.Facts) (servers []string) {
	if f.Config != nil && len(f.Config.Network.DNSServers) > 0 {
		for _, a := range f.Config.Network.DNSServers {
			servers = append(servers, a.String())
		}
		return servers
	}
	for line := range strings.Lines(f.Read("/etc/resolv.conf")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

func dnsUpstream(f *facts.Facts) Result {
	servers := Servers(f)
	if len(servers) == 0 {
		return warn("no resolver: names will not resolve in containers", "set network.dns_servers or mend /etc/resolv.conf")
	}
	if f.Netguard != nil && f.Netguard.Alive(f.Now) {
		switch up := f.Netguard.Upstream; {
		case up.FailedAt.After(up.AnsweredAt):
			return warn("no answer at "+up.FailedAt.Format(time.TimeOnly)+": "+up.Error, "set network.dns_servers, or mend /etc/resolv.conf")
		case !up.AnsweredAt.IsZero():
			return ok("%s, last answer at %s", strings.Join(servers, ", "), up.AnsweredAt.Format(time.TimeOnly))
		}
	}
	return ok("%s, not asked yet", strings.Join(servers, ", "))
}

func conntrack(f *facts.Facts) Result {
	used, ok1 := f.Int("/proc/sys/net/netfilter/nf_conntrack_count")
	limit, ok2 := f.Int("/proc/sys/net/netfilter/nf_conntrack_max")
	if !ok1 || !ok2 || limit == 0 {
		return skipped("connection tracking is not loaded")
	}
	text := fmt.Sprintf("%d of %d entries", used, limit)
	switch percent := used * 100 / limit; {
	case percent >= 95:
		return failed(text, "sudo sysctl -w net.netfilter.nf_conntrack_max=N")
	case percent >= 70:
		return warn(text, "sudo sysctl -w net.netfilter.nf_conntrack_max=N")
	}
	return ok("%s", text)
}

func ipv6(f *facts.Facts) Result {
	if f.Config == nil || !f.Config.Network.IPv6 {
		return ok("off for containers")
	}
	for line := range strings.Lines(f.Read("/proc/net/ipv6_route")) {
		fields := strings.Fields(line)
		if len(fields) > 9 && fields[1] == "00" && strings.Trim(fields[0], "0") == "" && fields[9] != "lo" {
			return ok("on")
		}
	}
	return warn("network.ipv6 is true and the host has no IPv6 default route", "set network.ipv6 = false")
}

func orphanedRules(f *facts.Facts) Result {
	if f.IncusErr != nil || !f.Incus.Reachable {
		return skipped("Incus is not reachable, so nobody knows which containers exist")
	}
	exists := map[string]bool{}
	for _, c := range f.Incus.Containers {
		exists[c.Name] = true
	}
	going := map[string]bool{}
	veths := map[string]bool{}
	for _, s := range f.Sessions {
		if s.Session.Phase == run.Creating || s.Session.Phase == run.Starting {
			going[s.Name] = true
		}
		if s.Net != nil {
			veths[s.Net.Veth] = true
		}
	}
	orphans := map[string]bool{}
	for _, s := range f.Sessions {
		if s.Net != nil && !exists[s.Name] && !going[s.Name] {
			orphans["rules of "+s.Name] = true
		}
	}
	for name := range f.Leases {
		if !exists[name] && !going[name] {
			orphans["the address of "+name] = true
		}
	}
	if f.Netguard != nil && f.Netguard.Tag != "" {
		links, err := filepath.Glob(filepath.Join(f.Root, "/sys/class/net", "coi"+f.Netguard.Tag+"*"))
		for _, link := range links {
			if name := filepath.Base(link); err == nil && !veths[name] {
				orphans["interface "+name] = true
			}
		}
	}
	if len(orphans) > 0 {
		return warn("without a container: "+strings.Join(slices.Sorted(maps.Keys(orphans)), ", "), "coi netguard clean --orphans").
			remedy(Remedy{Why: "rules of containers that are gone", Command: []string{"coi", "netguard", "clean", "--orphans", "--force"}})
	}
	return ok("none")
}

// startsItself reports whether a session of this user can start a guard: root
// can, and so can a user whose binary carries file capabilities.
func startsItself(f *facts.Facts, program string) bool {
	if f.Home.UID == 0 {
		return true
	}
	path, err := exec.LookPath(f.Exec + "/" + program)
	return err == nil && hasFileCaps(path)
}
