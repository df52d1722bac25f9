package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// fake is a machine of files; each case changes it.
func fake(t *testing.T, files map[string]string, change func(*facts.Facts)) *facts.Facts {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, UID: os.Getuid(), Prefix: "coi-"}
	cfg, err := config.Load(config.Options{Home: h, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	f := &facts.Facts{
		Now: now, Home: h, Root: root, Getenv: func(string) string { return "" }, Workspace: dir, Exec: filepath.Join(dir, "bin"),
		Kernel: "6.18.0", Config: cfg, Uptime: 100 * time.Hour,
		Space:  func(string) (facts.Space, error) { return facts.Space{Free: 50 << 30, Total: 100 << 30}, nil },
		Synced: func() (bool, time.Duration, error) { return true, time.Millisecond, nil }, OSRelease: map[string]string{"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"},
		Incus: facts.Incus{Reachable: true, Permitted: true, Version: "6.0.4", Pools: []facts.Pool{{Name: "default", Driver: "btrfs", Total: 100, Used: 10}}},
	}
	if change != nil {
		change(f)
	}
	return f
}

type judged struct {
	name   string
	status Status
	files  map[string]string
	change func(*facts.Facts)
}

func daemon(at time.Time) run.Daemon {
	return run.Daemon{PID: os.Getpid(), StartTime: run.StartTime(os.Getpid()), HeartbeatAt: at, Sources: []string{"exec:bpf"}}
}

func session(name string) facts.Guarded {
	return facts.Guarded{
		Name: name, Session: run.Session{Phase: run.Running},
		Net: &run.Net{Generation: 1}, Status: &run.NetStatus{State: run.NetEnforcing, CheckedAt: now, Generation: 1},
		Watch: &run.Watch{Generation: 1}, Watched: &run.WatchStatus{Armed: true, Generation: 1},
	}
}

func running(change func(*facts.Guarded)) func(*facts.Facts) {
	return func(f *facts.Facts) {
		g := session("coi-12345678-1")
		if change != nil {
			change(&g)
		}
		f.Sessions = []facts.Guarded{g}
		f.Netguard, f.Watcher = &facts.Guard{Daemon: daemon(now)}, &facts.Monitor{Daemon: daemon(now)}
	}
}

// guarding is a running session whose guard says something in its record.
func guarding(change func(*facts.Guard)) func(*facts.Facts) {
	return func(f *facts.Facts) {
		running(nil)(f)
		change(f.Netguard)
	}
}

func watching(change func(*facts.Monitor)) func(*facts.Facts) {
	return func(f *facts.Facts) {
		running(nil)(f)
		change(f.Watcher)
	}
}

// put writes a file of the user's home.
func put(f *facts.Facts, mode os.FileMode, name, text string) {
	path := filepath.Join(f.Home.User, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		panic(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		panic(err)
	}
}

func putting(mode os.FileMode, name, text string) func(*facts.Facts) {
	return func(f *facts.Facts) { put(f, mode, name, text) }
}

// link makes a link in the user's home.
func link(f *facts.Facts, target, name string) {
	path := filepath.Join(f.Home.User, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		panic(err)
	}
	if err := os.Symlink(target, path); err != nil {
		panic(err)
	}
}

// program puts all programs of coi beside each other.
func program(f *facts.Facts, mode os.FileMode) {
	for _, name := range programs() {
		put(f, mode, "bin/"+name, "")
	}
}

// tagged writes a program that was built of a known commit: the test itself.
func tagged(f *facts.Facts, name string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	text, err := os.ReadFile(self) //nolint:gosec // ourselves
	if err != nil {
		panic(err)
	}
	put(f, 0o755, "bin/"+name, string(text))
}

const goodKernel = "CONFIG_NF_TABLES_INET=y\nCONFIG_NFT_REJECT_INET=m\nCONFIG_NFT_FIB_INET=m\nCONFIG_NFT_REDIR=m\nCONFIG_NFT_MASQ=m\nCONFIG_NFT_CT=m\n" +
	"CONFIG_NETFILTER_NETLINK_LOG=m\nCONFIG_NFT_LOG=m\nCONFIG_IP_MULTIPLE_TABLES=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_BPF_EVENTS=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_FANOTIFY=y\n"

// kernel is a machine whose kernel was built with this configuration.
func kernel(config string) map[string]string {
	return map[string]string{"boot/config-6.18.0": config, "proc/self/ns/net": "", "proc/self/ns/user": ""}
}

const (
	defaultRoute = "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 00000000 0100000A 3 0 0 0 00000000 0 0 0\n"
	trailLine    = `{"seq":1,"ts":"2026-11-01T11:00:00Z"}` + "\n"
	futureLine   = `{"seq":2,"ts":"2026-11-03T11:00:00Z"}` + "\n"
)

var cases = []judged{
	{"kernel_features", OK, kernel(goodKernel), nil},
	{"kernel_features", Warning, kernel(strings.Replace(goodKernel, "DEBUG_INFO_BTF=y", "DEBUG_INFO_BTF=n", 1)), nil},
	{"kernel_features", Failed, kernel(strings.Replace(goodKernel, "CONFIG_NFT_FIB_INET=m\n", "# CONFIG_NFT_FIB_INET is not set\n", 1)), nil},
	{"kernel_features", Warning, map[string]string{"proc/self/ns/net": "", "proc/self/ns/user": "", "proc/sys/fs/fanotify/x": ""}, nil},
	{"kernel_features", Skipped, map[string]string{"proc/self/ns/net": "", "proc/self/ns/user": "", "proc/sys/fs/fanotify/x": "", "sys/kernel/btf/vmlinux": ""}, nil},
	{"kernel_features", OK, map[string]string{"proc/self/ns/net": "", "proc/self/ns/user": "", "proc/sys/fs/fanotify/x": "", "sys/kernel/btf/vmlinux": ""}, running(nil)},
	{"kernel_features", Failed, map[string]string{"boot/config-6.18.0": goodKernel}, nil},
	{"kernel_features", Warning, map[string]string{"boot/config-6.18.0": goodKernel, "proc/self/ns/net": "", "proc/self/ns/user": "", "sys/fs/cgroup/a/cgroup.freeze": ""}, nil},
	{"binaries", OK, nil, func(f *facts.Facts) { program(f, 0o755) }},
	{"binaries", Failed, nil, func(f *facts.Facts) { program(f, 0o777) }},
	{"binaries", Warning, nil, func(f *facts.Facts) { program(f, 0o755); link(f, "nowhere", "bin/coi-old") }},
	{"binaries", Warning, nil, func(f *facts.Facts) { program(f, 0o755); tagged(f, "coi-watch") }},
	{"time", OK, nil, nil},
	{"time", Warning, nil, func(f *facts.Facts) { f.Synced = func() (bool, time.Duration, error) { return false, 0, nil } }},
	{"time", Skipped, nil, func(f *facts.Facts) {
		f.Synced = func() (bool, time.Duration, error) { return false, 0, errors.New("not permitted") }
	}},
	{"time", Warning, nil, guarding(func(g *facts.Guard) { g.Since = now.Add(-200 * time.Hour) })}, // the kernel runs for 100 hours
	{"incus", Skipped, nil, func(f *facts.Facts) { f.Incus = facts.Incus{Reachable: true, Error: "permission denied"} }},
	{"permissions", Warning, map[string]string{"etc/group": "incus-admin:x:1:dev\n"}, func(f *facts.Facts) {
		f.Incus = facts.Incus{Reachable: true, Error: "permission denied"}
		f.Getenv = func(string) string { return "dev" }
	}},
	{"permissions", Skipped, nil, func(f *facts.Facts) { f.Incus = facts.Incus{Permitted: true, Error: "no socket"} }},
	{"image_age", Warning, nil, func(f *facts.Facts) {
		f.Incus.Images = []facts.Image{{Alias: "coi-default", CreatedAt: now, Fingerprint: "a"}, {Alias: "base", CreatedAt: now, Fingerprint: "new"}}
		f.Images = map[string]facts.Built{"coi-default": {Fingerprint: "a", Base: "base", BaseFingerprint: "old"}}
	}},
	{"image_tool", OK, nil, func(f *facts.Facts) { f.Images = map[string]facts.Built{"coi-default": {Agents: []string{"claude"}}} }},
	{"image_tool", Warning, nil, func(f *facts.Facts) { f.Images = map[string]facts.Built{"coi-default": {Agents: []string{"pi"}}} }},
	{"image_tool", Skipped, nil, nil},
	{"image_tool", Skipped, nil, func(f *facts.Facts) { f.HomeErr = errors.New("no home") }},
	{"security_posture", OK, nil, func(f *facts.Facts) { f.Incus.Containers = []facts.Container{sound()} }},
	{"security_posture", Failed, nil, func(f *facts.Facts) {
		c := sound()
		c.Devices["eth0"]["host_name"] = "veth1"
		f.Incus.Containers = []facts.Container{c}
	}},
	{"security_posture", Failed, nil, func(f *facts.Facts) {
		c := sound()
		c.Devices["eth1"] = map[string]string{"type": "nic", "nictype": "routed", "host_name": "coix"}
		f.Incus.Containers = []facts.Container{c}
	}},
	{"security_posture", Failed, nil, func(f *facts.Facts) {
		c := sound()
		c.Config["raw.lxc"] = "x"
		f.Incus.Containers = []facts.Container{c}
	}},
	{"security_posture", Skipped, nil, func(f *facts.Facts) { f.Incus.Reachable = false }},
	{"incus_storage_pools", Failed, nil, func(f *facts.Facts) { f.Incus.Pools = nil }},
	{"incus_storage_pools", Warning, nil, func(f *facts.Facts) {
		f.Incus.Pools = []facts.Pool{{Name: "p", Driver: "lvm", Thick: true, Total: 100, Used: 1}}
	}},
	{"incus_storage_pools", Skipped, nil, func(f *facts.Facts) { f.Incus.Reachable = false }},
	{"netguard", Failed, nil, guarding(func(g *facts.Guard) { g.Version = "0.0.1" })},
	{"netguard", Warning, nil, func(f *facts.Facts) {
		guarding(func(g *facts.Guard) { g.Version = "0.0.1" })(f)
		f.Config.Network.Mode = "open"
	}},
	{"netguard", Warning, nil, guarding(func(g *facts.Guard) { g.Problems = []string{"x"} })},
	{"netguard", Warning, map[string]string{"run/systemd/system/x": ""}, func(f *facts.Facts) { running(nil)(f); asUser(f) }},
	{"netguard", OK, map[string]string{"run/systemd/system/x": "", "etc/systemd/system/multi-user.target.wants/coi-netguard@dev.service": ""}, func(f *facts.Facts) {
		running(nil)(f)
		asUser(f)
	}},
	{"guard_tables", Failed, nil, guarding(func(g *facts.Guard) { g.Problems = []string{"rules differ and could not be repaired: x"} })},
	{"guard_tables", Failed, nil, guarding(func(g *facts.Guard) { g.Problems = []string{"shared rules were not applied: x"} })},
	{"guard_tables", Warning, nil, guarding(func(g *facts.Guard) { g.Problems = []string{"latch: policy rule for coix: no"} })},
	{"guard_tables", Warning, nil, guarding(func(g *facts.Guard) { g.Missing = []string{"owner,persist (Linux 6.9)"} })},
	{"network_pool", Warning, nil, guarding(func(g *facts.Guard) { g.Pool = "100.127.0.0/24" })},
	{"network_pool", OK, nil, func(f *facts.Facts) { running(nil)(f); f.Netguard.Pool = f.Config.Network.Pool.String() }},
	{"network_pool", Warning, nil, func(f *facts.Facts) { leases(f, "10.9.0.0/28", 12) }},
	{"network_pool", Failed, nil, func(f *facts.Facts) { leases(f, "10.9.0.0/28", 13) }},
	{"network_pool", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"uplinks", OK, map[string]string{"proc/net/route": defaultRoute}, guarding(func(g *facts.Guard) { g.Uplinks = []string{"eth0"} })},
	{"uplinks", Warning, map[string]string{"proc/net/route": defaultRoute}, guarding(func(g *facts.Guard) { g.Uplinks = []string{"wlan0"} })},
	{"forward_policy", Failed, nil, guarding(func(g *facts.Guard) {
		g.Problems = []string{"Docker: chain FORWARD drops what it does not know, and network.manage_foreign is off"}
	})},
	{"forward_policy", Warning, nil, guarding(func(g *facts.Guard) {
		g.Foreign = []string{"firewalld: its rejects cannot be overruled; run: firewall-cmd --x"}
	})},
	{"forward_policy", OK, nil, guarding(func(g *facts.Guard) {
		g.Foreign = []string{"ufw: 2 rules at the top of chain FORWARD let containers through"}
	})},
	{"forward_policy", Warning, map[string]string{"run/firewalld/x": ""}, nil},
	{"dns_upstream", OK, map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n"}, guarding(func(g *facts.Guard) { g.Upstream.AnsweredAt = now })},
	{"dns_upstream", Warning, map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n"}, guarding(func(g *facts.Guard) {
		g.Upstream.AnsweredAt, g.Upstream.FailedAt, g.Upstream.Error = now.Add(-time.Minute), now, "timeout"
	})},
	{"ipv6", OK, map[string]string{"proc/net/ipv6_route": "00000000000000000000000000000000 00 0 00 fe80 0400 1 0 3 eth0\n"}, func(f *facts.Facts) { f.Config.Network.IPv6 = true }},
	{"orphaned_rules", Warning, nil, func(f *facts.Facts) { f.Leases = map[string]struct{}{"coi-gone-1": {}} }},
	{"orphaned_rules", OK, nil, func(f *facts.Facts) {
		f.Leases = map[string]struct{}{"coi-here-1": {}}
		f.Incus.Containers = []facts.Container{{Name: "coi-here-1"}}
	}},
	{"orphaned_rules", Warning, map[string]string{"sys/class/net/coiab123/x": ""}, func(f *facts.Facts) { f.Netguard = &facts.Guard{Tag: "ab"} }},
	{"watch", Warning, nil, func(f *facts.Facts) { no := false; f.Config.Monitoring.Enabled = &no }},
	{"watch", Warning, nil, watching(func(w *facts.Monitor) { w.Problems = []string{"exec by the connector: no BTF"} })},
	{"watch", Failed, nil, func(f *facts.Facts) {
		running(nil)(f)
		yes := true
		f.Config.Monitoring.Enabled, f.Watcher.Weak = &yes, "descriptors need CAP_SYS_PTRACE"
	}},
	{"watch", Warning, map[string]string{"run/systemd/system/x": ""}, func(f *facts.Facts) { running(nil)(f); asUser(f) }},
	{"watched", Skipped, nil, func(f *facts.Facts) { no := false; f.Config.Monitoring.Enabled = &no }},
	{"sensors", OK, nil, running(nil)},
	{"sensors", Warning, nil, watching(func(w *facts.Monitor) { w.Problems = []string{"wiring rules off: need CAP_SYS_PTRACE"} })},
	{"sensors", Warning, nil, running(func(g *facts.Guarded) { g.Watched.Problems = []string{"file events by inotify"} })},
	{"freezer", Skipped, nil, running(nil)},
	{"freezer", OK, nil, watching(func(w *facts.Monitor) { w.Freezer.TriedAt, w.Freezer.US = now, 700 })},
	{"freezer", Warning, nil, watching(func(w *facts.Monitor) { w.Freezer.TriedAt, w.Freezer.US = now, 30000 })},
	{"freezer", Failed, nil, watching(func(w *facts.Monitor) { w.Freezer.TriedAt, w.Freezer.Error = now, "permission denied" })},
	{"patterns", OK, nil, nil},
	{"patterns", OK, nil, rules(0)},
	{"patterns", Warning, nil, rules(100 * 24 * time.Hour)},
	{"patterns", Warning, nil, running(func(g *facts.Guarded) { g.Watched.Problems = []string{"pattern:p1: bad sample"} })},
	{"patterns", OK, nil, running(func(g *facts.Guarded) { g.Watched.Problems = []string{"sigma:s1: not supported"} })},
	{"patterns", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"monitoring_configuration", Warning, nil, func(f *facts.Facts) { f.Config.Monitoring.UploadHighMB *= 11 }},
	{"monitoring_configuration", Warning, nil, func(f *facts.Facts) { f.Config.Monitoring.ProcessCountThreshold = 0 }},
	{"monitoring_configuration", Warning, nil, func(f *facts.Facts) { f.Config.Monitoring.AuditLogRetentionDays = 6 }},
	{"monitoring_configuration", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"audit_directory", OK, nil, putting(0o600, ".coi/audit/x.jsonl", "")},
	{"audit_directory", Failed, nil, putting(0o644, ".coi/audit/x.jsonl", "")},
	{"audit_directory", Failed, nil, func(f *facts.Facts) { link(f, "/tmp", ".coi/audit") }},
	{"audit_directory", Failed, nil, func(f *facts.Facts) { put(f, 0o600, ".coi/audit/x.jsonl", ""); f.Home.UID += 7 }},
	{"audit_directory", Warning, nil, func(f *facts.Facts) {
		put(f, 0o600, ".coi/audit/x.jsonl", "")
		f.Space = func(string) (facts.Space, error) { return facts.Space{Free: 1 << 20, Total: 1 << 30}, nil }
	}},
	{"audit_directory", Skipped, nil, func(f *facts.Facts) { f.HomeErr = errors.New("no home") }},
	{"audit_chain", OK, nil, nil},
	{"audit_chain", Failed, nil, putting(0o600, ".coi/audit/x.jsonl", "")}, // no coi-audit can say that it verifies
	{"clock_writers", OK, nil, putting(0o600, ".coi/audit/x.jsonl", trailLine)},
	{"clock_writers", Warning, nil, putting(0o600, ".coi/audit/x.jsonl", trailLine+futureLine)},
	{"coi_directory", OK, nil, putting(0o600, ".coi/config.toml", "")},
	{"coi_directory", Warning, nil, func(f *facts.Facts) {
		put(f, 0o600, ".coi/config.toml", "")
		f.Space = func(string) (facts.Space, error) { return facts.Space{Type: 0x6969}, nil }
	}},
	{"coi_directory", Failed, nil, func(f *facts.Facts) { link(f, "/tmp", ".coi") }},
	{"coi_directory", Failed, nil, func(f *facts.Facts) { f.HomeErr = errors.New("no home") }},
	{"disk_space", OK, nil, nil},
	{"disk_space", Warning, nil, func(f *facts.Facts) {
		f.Space = func(string) (facts.Space, error) { return facts.Space{Free: 4 << 30, Total: 5 << 30}, nil }
	}},
	{"disk_space", Warning, nil, func(f *facts.Facts) {
		f.Space = func(string) (facts.Space, error) { return facts.Space{Free: 9 << 30, Total: 100 << 30}, nil }
	}},
	{"disk_space", Skipped, nil, func(f *facts.Facts) {
		f.Space = func(string) (facts.Space, error) { return facts.Space{}, errors.New("x") }
	}},
	{"sessions_directory", OK, nil, putting(0o600, ".coi/sessions-claude/1/metadata.json", "{}")},
	{"sessions_directory", Warning, nil, putting(0o600, ".coi/sessions-claude/1.new/x", "")},
	{"config", Failed, nil, func(f *facts.Facts) { f.Config = nil }},
	{"config_refused", OK, nil, nil},
	{"config_refused", Warning, nil, func(f *facts.Facts) { f.Config.Refused = []config.Refusal{{Key: "network.mode"}} }},
	{"config_refused", Warning, nil, func(f *facts.Facts) { f.Config.Gated = []config.Item{{}} }},
	{"config_refused", OK, nil, func(f *facts.Facts) { f.Config.Gated = []config.Item{{Approved: true}} }},
	{"config_refused", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"tool", OK, nil, putting(0o600, ".claude/.credentials.json", "{}")},
	{"tool", OK, nil, func(f *facts.Facts) {
		f.Getenv = func(string) string { return "x" }
		f.Config.Defaults.ForwardEnv = []string{"ANTHROPIC_API_KEY"}
	}},
	{"tool", Warning, nil, nil},
	{"tool", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"protection", Warning, nil, running(func(g *facts.Guarded) { g.Watched.Immutable = "off: no right" })},
	{"protection", Skipped, nil, func(f *facts.Facts) { f.Config = nil }},
	{"trust_store", Warning, nil, func(f *facts.Facts) {
		put(f, 0o600, ".coi/trust.toml", "")
		f.Approvals = []facts.Approval{{State: "gone"}}
	}},
	{"trust_store", Failed, nil, func(f *facts.Facts) { put(f, 0o644, ".coi/trust.toml", ""); f.TrustErr = errors.New("mode 0644") }},
	{"old_layout", Warning, nil, putting(0o600, ".coi.toml", "")},
	{"quarantine", Warning, nil, putting(0o600, ".coi/storage/quarantine/1/MANIFEST.json", "{}")},
	{"immutable_leftovers", Warning, nil, putting(0o600, ".coi/immutable-locks/coi-12345678-1.json", "{}")},
	{"orphaned_resources", Warning, nil, running(func(g *facts.Guarded) { g.Session.Supervisor = &run.Process{PID: 1 << 30, StartTime: 1} })},
	{"orphaned_resources", Warning, nil, putting(0o600, ".coi/run/coi-12345678-1.placeholders.json", "{}")},
	{"orphaned_resources", OK, nil, func(f *facts.Facts) {
		put(f, 0o600, ".coi/run/coi-12345678-1.placeholders.json", "{}")
		f.Incus.Containers = []facts.Container{{Name: "coi-12345678-1"}}
	}},
	{"os", OK, nil, nil},
	{"os", Warning, nil, func(f *facts.Facts) { f.OSRelease = nil }},
	{"kernel_version", OK, nil, nil},
	{"kernel_version", Warning, nil, func(f *facts.Facts) { f.Kernel = "6.1.0-18-amd64" }},
	{"kernel_version", Failed, nil, func(f *facts.Facts) { f.Kernel = "5.10.0" }},
	{"kernel_version", Skipped, nil, func(f *facts.Facts) { f.Kernel = "" }},
	{"kernel_build_age", OK, map[string]string{"proc/version": "Linux version 6.18 (x) #1 SMP Mon Oct 26 10:00:00 UTC 2026"}, nil},
	{"kernel_build_age", Warning, map[string]string{"proc/version": "Linux 6.1 #1 SMP Debian 6.1.1-1 (2025-01-01)"}, nil},
	{"kernel_build_age", Skipped, nil, nil},
	{"kernel_mitigations", OK, map[string]string{"sys/devices/system/cpu/vulnerabilities/meltdown": "Not affected\n"}, nil},
	{"kernel_mitigations", Warning, map[string]string{"sys/devices/system/cpu/vulnerabilities/meltdown": "Vulnerable\n"}, nil},
	{"kernel_mitigations", Skipped, nil, nil},
	{"distro_eol", OK, nil, nil},
	{"distro_eol", Warning, nil, func(f *facts.Facts) { f.OSRelease["VERSION_ID"] = "11" }},
	{"distro_eol", Skipped, nil, func(f *facts.Facts) { f.OSRelease["ID"] = "x" }},
	{"lsm", OK, map[string]string{"sys/kernel/security/lsm": "lockdown,apparmor,bpf"}, nil},
	{"lsm", Warning, map[string]string{"sys/kernel/security/lsm": "capability"}, nil},
	{"timezone", OK, map[string]string{"etc/timezone": "Europe/Berlin\n"}, nil},
	{"timezone", Warning, nil, nil},
	{"binaries", Warning, nil, nil},
	{"incus", OK, nil, nil},
	{"incus", Warning, nil, func(f *facts.Facts) { f.Incus.Version = "6.0.1" }}, // R-LIM-11
	{"incus", Failed, nil, func(f *facts.Facts) { f.Incus.Version = "5.21" }},
	{"incus", Failed, nil, func(f *facts.Facts) { f.Incus.Reachable = false }},
	{"incus", Failed, nil, func(f *facts.Facts) { f.IncusErr = errors.New("x") }},
	{"permissions", OK, nil, nil},
	{"permissions", Failed, nil, func(f *facts.Facts) { f.Incus = facts.Incus{Reachable: true, Error: "permission denied"} }},
	{"permissions", Skipped, nil, func(f *facts.Facts) { f.Incus = facts.Incus{Error: "no socket"} }},
	{"image", OK, nil, func(f *facts.Facts) { f.Incus.Images = []facts.Image{{Alias: "coi-default"}} }},
	{"image", Failed, nil, nil},
	{"image_age", OK, nil, func(f *facts.Facts) { f.Incus.Images = []facts.Image{{Alias: "coi-default", CreatedAt: now}} }},
	{"image_age", Warning, nil, func(f *facts.Facts) {
		f.Incus.Images = []facts.Image{{Alias: "coi-default", CreatedAt: now.AddDate(0, -3, 0)}}
	}},
	{"image_age", Skipped, nil, nil},
	{"default_profile", OK, nil, nil},
	{"default_profile", Warning, nil, func(f *facts.Facts) {
		f.Incus.Containers = []facts.Container{{Name: "c", Profiles: []string{"default"}}}
	}},
	{"security_posture", OK, nil, nil},
	{"security_posture", Failed, nil, func(f *facts.Facts) { f.Incus.Containers = []facts.Container{{Name: "c", Status: "Running"}} }},
	{"incus_storage_pools", OK, nil, nil},
	{"netguard", OK, nil, running(nil)},
	{"netguard", Failed, nil, func(f *facts.Facts) { running(nil)(f); f.Netguard = nil }},
	{"netguard", Failed, nil, func(f *facts.Facts) { running(nil)(f); f.Netguard.HeartbeatAt = now.Add(-time.Minute) }},
	{"netguard", Warning, nil, func(f *facts.Facts) { running(nil)(f); f.Netguard = nil; f.Config.Network.Mode = "open" }},
	{"guard_rules", OK, nil, running(nil)},
	{"guard_rules", Warning, nil, running(func(g *facts.Guarded) { g.Status.State = run.NetDegraded })},
	{"guard_rules", Failed, nil, running(func(g *facts.Guarded) { g.Status.State = run.NetFailed })},
	{"guard_rules", Failed, nil, running(func(g *facts.Guarded) { g.Status.CheckedAt = now.Add(-2 * time.Minute) })},
	{"guard_rules", Failed, nil, running(func(g *facts.Guarded) { g.Status = nil })},
	{"guard_tables", Skipped, nil, nil},
	{"guard_tables", OK, nil, running(nil)},
	{"network_pool", OK, nil, nil},
	{"network_pool", Warning, map[string]string{"proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth1 0000D50A 00000000 1 0 0 0 00FFFFFF 0 0 0\n"}, nil},
	{"uplinks", OK, map[string]string{"proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 00000000 0100000A 3 0 0 0 00000000 0 0 0\n"}, nil},
	{"uplinks", Warning, nil, nil},
	{"ip_forwarding", OK, map[string]string{"proc/sys/net/ipv4/ip_forward": "1\n"}, nil},
	{"ip_forwarding", Warning, map[string]string{"proc/sys/net/ipv4/ip_forward": "0\n"}, nil},
	{"ip_forwarding", Skipped, nil, nil},
	{"forward_policy", OK, nil, nil},
	{"forward_policy", Warning, map[string]string{"proc/net/ip_tables_names": "filter\n"}, nil},
	{"foreign_rules", Skipped, nil, nil},
	{"foreign_rules", Skipped, nil, running(nil)},
	{"foreign_rules", OK, nil, guarding(func(g *facts.Guard) { g.ForeignSeen = true })},
	{"foreign_rules", Warning, nil, guarding(func(g *facts.Guard) {
		g.ForeignSeen, g.Conflicts = true, []string{"table x, chain y uses the mark bit 0x02000000: z"}
	})},
	{"dns_upstream", OK, map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n"}, nil},
	{"dns_upstream", Warning, nil, nil},
	{"conntrack", OK, map[string]string{"proc/sys/net/netfilter/nf_conntrack_count": "1", "proc/sys/net/netfilter/nf_conntrack_max": "100"}, nil},
	{"conntrack", Warning, map[string]string{"proc/sys/net/netfilter/nf_conntrack_count": "70", "proc/sys/net/netfilter/nf_conntrack_max": "100"}, nil},
	{"conntrack", Failed, map[string]string{"proc/sys/net/netfilter/nf_conntrack_count": "96", "proc/sys/net/netfilter/nf_conntrack_max": "100"}, nil},
	{"conntrack", Skipped, nil, nil},
	{"ipv6", OK, nil, nil},
	{"ipv6", Warning, nil, func(f *facts.Facts) { f.Config.Network.IPv6 = true }},
	{"orphaned_rules", OK, nil, nil},
	{"orphaned_rules", Warning, nil, running(nil)},
	{"orphaned_rules", Skipped, nil, func(f *facts.Facts) { f.Incus.Reachable = false }},
	{"watch", OK, nil, running(nil)},
	{"watch", Warning, nil, func(f *facts.Facts) { running(nil)(f); f.Watcher = nil }},
	{"watch", Failed, nil, func(f *facts.Facts) {
		running(nil)(f)
		f.Watcher = nil
		yes := true
		f.Config.Monitoring.Enabled = &yes
	}}, // T-H-04
	{"watched", OK, nil, running(nil)},
	{"watched", Failed, nil, running(func(g *facts.Guarded) { g.Watched.Armed = false })},
	{"watched", Failed, nil, running(func(g *facts.Guarded) { g.Watch.Generation = 2 })},
	{"sensors", Skipped, nil, nil},
	{"sensors", Warning, nil, running(func(g *facts.Guarded) { g.Watched.Lost = 3 })},
	{"freezer", Skipped, nil, nil},
	{"monitoring_configuration", OK, nil, nil},
	{"monitoring_configuration", Warning, nil, func(f *facts.Facts) { f.Config.Monitoring.AutoPauseOnHigh = false }},
	{"frozen_containers", OK, nil, nil},
	{"frozen_containers", Warning, nil, running(func(g *facts.Guarded) { g.Watched.Frozen = &run.Mark{At: now, Event: "x"} })},
	{"audit_directory", OK, nil, nil},
	{"cgroup", OK, map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu"}, nil},
	{"cgroup", Warning, nil, nil},
	{"coi_directory", OK, nil, nil},
	{"config", OK, nil, nil},
	{"config", Failed, nil, func(f *facts.Facts) { f.ConfigErr = errors.New("config.toml:1: x: unknown key") }},
	{"network_mode", OK, nil, nil},
	{"network_mode", Warning, nil, func(f *facts.Facts) { f.Config.Network.Mode = "open" }},
	{"protection", OK, nil, nil},
	{"protection", Warning, nil, func(f *facts.Facts) { f.Config.Security.DisableProtection = true }},
	{"trust_store", OK, nil, nil},
	{"old_layout", OK, nil, nil},
	{"quarantine", OK, nil, nil},
	{"immutable_leftovers", OK, nil, nil},
	{"orphaned_resources", OK, nil, nil},
	{"saved_sessions", OK, nil, nil},
	{"active_containers", OK, nil, running(nil)},
}

// sound is a running container as coi makes it.
func sound() facts.Container {
	return facts.Container{
		Name: "c", Status: "Running", Config: map[string]string{"security.idmap.isolated": "true", "security.guestapi": "false"},
		Devices: map[string]map[string]string{"eth0": {"type": "nic", "nictype": "routed", "host_name": "coiab1"}},
	}
}

func leases(f *facts.Facts, pool string, n int) {
	running(nil)(f)
	f.Config.Network.Pool = netip.MustParsePrefix(pool)
	f.Netguard.Pool, f.Leases = pool, map[string]struct{}{}
	for i := range n {
		f.Leases[fmt.Sprint(i)] = struct{}{}
	}
}

// rules puts a rule file of that age into the place of fetched ones.
func rules(age time.Duration) func(*facts.Facts) {
	return func(f *facts.Facts) {
		f.Config.Detection.SigmaDir = filepath.Join(f.Home.User, "sigma")
		put(f, 0o600, "sigma/a.yml", "")
		for _, name := range []string{"a.yml", "."} {
			if err := os.Chtimes(filepath.Join(f.Home.User, "sigma", name), now.Add(-age), now.Add(-age)); err != nil {
				panic(err)
			}
		}
	}
}

// T-H-01: each check says ok, warning, failed or skipped where it should.
func TestChecks(t *testing.T) {
	byName := map[string]Check{}
	for _, c := range All() {
		if _, twice := byName[c.Name]; twice {
			t.Errorf("%s is listed twice", c.Name)
		}
		byName[c.Name] = c
	}
	covered, levels := map[string]bool{}, map[string]bool{}
	for _, c := range cases {
		ch, known := byName[c.name]
		if !known {
			t.Errorf("no check %s", c.name)
			continue
		}
		covered[c.name] = true
		r := RunAll(context.Background(), fake(t, c.files, c.change), []Check{ch})[c.name]
		levels[c.name+" "+string(r.Status)] = true
		if r.Status != c.status {
			t.Errorf("%s = %s (%s); want %s", c.name, r.Status, r.Message, c.status)
		}
		if r.Message == "" || (r.Status == Failed || r.Status == Warning) && r.Hint == "" {
			t.Errorf("%s says %q with hint %q", c.name, r.Message, r.Hint)
		}
	}
	covered["subids"] = true // TestMappable
	for name := range byName {
		if !covered[name] {
			t.Errorf("%s has no case", name)
		}
	}
}

// The agent's own uid needs no line for root; any other does.
func TestMappable(t *testing.T) {
	lines := map[string]string{"/etc/subuid": "root:1000000:65536\nroot:1002:1\n", "/etc/subgid": "root:1000000:65536\nroot:1002:1\n"}
	for uid, want := range map[int]Status{0: OK, 1000: OK, 1001: Failed, 1002: OK} {
		if r := mappable(fake(t, lines, nil), uid, uid); r.Status != want {
			t.Errorf("uid %d = %s %q; want %s", uid, r.Status, r.Message, want)
		}
	}
}

// T-H-08, S71, S72: a pool at 79, 80 and 95 per cent.
func TestPools(t *testing.T) {
	for used, want := range map[uint64]Status{79: OK, 80: Warning, 94: Warning, 95: Failed} {
		f := fake(t, nil, func(f *facts.Facts) { f.Incus.Pools[0].Used = used })
		r := pools(f)
		if r.Status != want || !strings.Contains(r.Message, "GiB free") {
			t.Errorf("%d %% used = %s %q; want %s", used, r.Status, r.Message, want)
		}
	}
	f := fake(t, nil, func(f *facts.Facts) { f.Incus.Pools[0].Driver = "dir" })
	if r := pools(f); r.Status != Warning {
		t.Errorf("dir pool = %s", r.Status)
	}
}

// T-H-05: with nothing at all every check ends with a word.
func TestAllEnd(t *testing.T) {
	plain := fake(t, nil, nil)
	for name, f := range map[string]*facts.Facts{
		"empty": {
			Now: now, Root: t.TempDir(), Getenv: func(string) string { return "" }, HomeErr: errors.New("no home"),
			Space: plain.Space, Synced: plain.Synced,
		},
		"plain": plain,
	} {
		for check, r := range RunAll(context.Background(), f, All()) {
			if r.Status == "" || r.Message == "" || strings.Contains(r.Message, "the check itself failed") {
				t.Errorf("%s machine: %s says %q %q", name, check, r.Status, r.Message)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("%s: %v", check, err)
			}
		}
	}
}

// T-H-03: a guard that is stopped, killed, of another version, or cannot get its
// table back: of the three checks that promise it, those that can know say so.
func TestGuardIsWatched(t *testing.T) {
	since := func(g *facts.Guarded) { g.Status.CheckedAt = now.Add(-2 * time.Minute) }
	for name, tt := range map[string]struct {
		session func(*facts.Guarded)
		guard   func(*facts.Guard)
		want    map[string]Status
	}{
		"well":    {nil, func(*facts.Guard) {}, map[string]Status{"netguard": OK, "guard_rules": OK, "guard_tables": OK}},
		"stopped": {since, func(g *facts.Guard) { g.HeartbeatAt = now.Add(-time.Minute) }, map[string]Status{"netguard": Failed, "guard_rules": Failed, "guard_tables": Skipped}},
		"killed":  {since, func(g *facts.Guard) { g.PID = 1 << 30 }, map[string]Status{"netguard": Failed, "guard_rules": Failed, "guard_tables": Skipped}},
		"version": {nil, func(g *facts.Guard) { g.Version = "0.0.1" }, map[string]Status{"netguard": Failed, "guard_rules": OK, "guard_tables": OK}},
		"flushed": {
			func(g *facts.Guarded) {
				g.Status.State, g.Status.Problems = run.NetDegraded, []string{"rules differ and could not be repaired: no"}
			},
			func(g *facts.Guard) { g.Problems = []string{"rules differ and could not be repaired: no"} },
			map[string]Status{"netguard": Warning, "guard_rules": Warning, "guard_tables": Failed},
		},
		"hook": {
			func(g *facts.Guarded) { g.Status.State, g.Status.Error = run.NetFailed, "hook" },
			func(g *facts.Guard) {
				g.Problems = []string{"rules differ right after they were written: chain in: priority"}
			},
			map[string]Status{"netguard": Warning, "guard_rules": Failed, "guard_tables": Failed},
		},
	} {
		f := fake(t, nil, func(f *facts.Facts) { running(tt.session)(f); tt.guard(f.Netguard) })
		for check, want := range tt.want {
			if r := Named(check).Run(f); r.Status != want {
				t.Errorf("%s: %s = %s %q; want %s", name, check, r.Status, r.Message, want)
			}
		}
	}
}

// T-H-04: a monitor without a right: sensors names it and what gives it, and with
// monitoring.enabled = true in writing the machine is unhealthy.
func TestMonitorWithoutARight(t *testing.T) {
	for problem, hint := range map[string]string{
		"wiring rules off: descriptors of other users' processes need CAP_SYS_PTRACE":                          "capabilities",
		"containers are frozen through Incus, later than promised: the freezer needs CAP_DAC_OVERRIDE":         "capabilities",
		"file events without the process that caused them, by inotify (operation not permitted)":               "CONFIG_FANOTIFY",
		"exec by the process connector: the kernel has no BTF; arguments of very short programs may be missed": "BTF",
	} {
		f := fake(t, nil, watching(func(w *facts.Monitor) { w.Problems, w.Weak = []string{problem}, problem }))
		if r := Named("sensors").Run(f); r.Status != Warning || !strings.Contains(r.Message, problem) || !strings.Contains(r.Hint, hint) {
			t.Errorf("sensors = %s %q, hint %q; want the problem and a hint with %q", r.Status, r.Message, r.Hint, hint)
		}
		if r := Named("watch").Run(f); r.Status != Warning {
			t.Errorf("watch = %s %q; want a warning", r.Status, r.Message)
		}
		yes := true
		f.Config.Monitoring.Enabled = &yes
		if r := Named("watch").Run(f); r.Status != Failed || !strings.Contains(r.Message, problem) {
			t.Errorf("insisting, watch = %s %q; want it failed", r.Status, r.Message)
		}
	}
}

// The thresholds that are called unusual are measured by what coi ships.
func TestLimitsAreThoseShipped(t *testing.T) {
	for _, l := range limits(fake(t, nil, nil).Config.Monitoring) {
		if l.have != l.shipped {
			t.Errorf("%s is %g in the built-in configuration and %g here", l.key, l.have, l.shipped)
		}
	}
}

// A disk that hangs under a check is that check's fault and nobody else's.
func TestHangingDisk(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	f := fake(t, nil, func(f *facts.Facts) {
		f.Space = func(string) (facts.Space, error) { <-never; return facts.Space{}, nil }
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := RunAll(ctx, f, []Check{Named("disk_space"), Named("network_mode")})
	if got["disk_space"].Message != "timed out" || got["disk_space"].Status != Failed || got["network_mode"].Status != OK {
		t.Errorf("disk_space = %+v, network_mode = %+v", got["disk_space"], got["network_mode"])
	}
}

// T-H-09: a check that hangs is failed, not left out.
func TestHangingCheck(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	hang := Check{Name: "x", Run: func(*facts.Facts) Result { select {} }}
	if r := RunAll(ctx, &facts.Facts{}, []Check{hang})["x"]; r.Status != Failed || r.Message != "timed out" {
		t.Errorf("hanging check = %+v", r)
	}
}

// S143: the verbose section has a line auto_pause=true.
func TestSettings(t *testing.T) {
	f := fake(t, nil, nil)
	var seen bool
	for _, s := range Settings(f.Config, f.Home, "monitoring.") {
		seen = seen || s.Name == "auto_pause" && s.Value == "true"
	}
	if !seen {
		t.Error("no auto_pause=true")
	}
}

// make install puts coi and the other programs into two places: coi is found
// in bin from libexec/coi, the others in libexec/coi from bin.
func TestBinariesOfAnInstallation(t *testing.T) {
	for _, from := range []string{"bin", "libexec/coi"} {
		t.Run(from, func(t *testing.T) {
			prefix := t.TempDir()
			for _, name := range programs() {
				dir := filepath.Join(prefix, "libexec", "coi")
				if name == "coi" {
					dir = filepath.Join(prefix, "bin")
				}
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if r := binaries(&facts.Facts{Exec: filepath.Join(prefix, from)}); r.Status != OK {
				t.Errorf("%s: %s", r.Status, r.Message)
			}
		})
	}
}
