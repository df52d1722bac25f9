package check

import (
	"context"
	"encoding/json"
	"errors"
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
		Kernel: "6.18.0", Config: cfg, OSRelease: map[string]string{"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"},
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

func daemon(at time.Time) *run.Daemon {
	return &run.Daemon{PID: os.Getpid(), StartTime: run.StartTime(os.Getpid()), HeartbeatAt: at, Sources: []string{"exec"}}
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
		f.Netguard, f.Watcher = daemon(now), daemon(now)
	}
}

var cases = []judged{
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
	{"permissions", Failed, nil, func(f *facts.Facts) { f.Incus = facts.Incus{Error: "permission denied"} }},
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
	{"freezer", Failed, nil, func(f *facts.Facts) { running(nil)(f); f.Watcher.Problems = []string{"freezer: not possible"} }},
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

// T-H-01: each check says ok, warning, failed or skipped where it should.
func TestChecks(t *testing.T) {
	byName := map[string]Check{}
	for _, c := range All() {
		if _, twice := byName[c.Name]; twice {
			t.Errorf("%s is listed twice", c.Name)
		}
		byName[c.Name] = c
	}
	covered := map[string]bool{}
	for _, c := range cases {
		ch, known := byName[c.name]
		if !known {
			t.Errorf("no check %s", c.name)
			continue
		}
		covered[c.name] = true
		r := RunAll(context.Background(), fake(t, c.files, c.change), []Check{ch})[c.name]
		if r.Status != c.status {
			t.Errorf("%s = %s (%s); want %s", c.name, r.Status, r.Message, c.status)
		}
		if r.Message == "" || (r.Status == Failed || r.Status == Warning) && r.Hint == "" {
			t.Errorf("%s says %q with hint %q", c.name, r.Message, r.Hint)
		}
	}
	for _, live := range []string{"kernel_features", "time", "disk_space", "subids", "image_tool", "patterns", "audit_chain", "clock_writers", "sessions_directory", "config_refused", "tool"} {
		covered[live] = true // judged on the machine itself by TestAllEnd
	}
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
	for name, f := range map[string]*facts.Facts{
		"empty": {Now: now, Root: t.TempDir(), Getenv: func(string) string { return "" }, HomeErr: errors.New("no home")},
		"plain": fake(t, nil, nil),
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
	for _, s := range Settings(f.Config, "monitoring.") {
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
