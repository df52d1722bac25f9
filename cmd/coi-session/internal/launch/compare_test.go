package launch

import (
	"maps"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// R-NET-11, R-NET-12, session §4: whatever Incus or somebody else added or changed between
// the request and the start is refused by name.
func TestCompare(t *testing.T) {
	config := map[string]string{"boot.autostart": "false", "security.privileged": "false", "user.coi.version": "1"}
	devices := map[string]incus.Device{"root": {"type": "disk", "path": "/", "pool": "default"}, "eth0": {"type": "nic", "nictype": "routed"}}
	fresh := func() incus.Instance {
		i := incus.Instance{ExpandedConfig: maps.Clone(config), ExpandedDevices: map[string]incus.Device{}}
		i.ExpandedConfig["volatile.idmap.base"], i.ExpandedConfig["image.os"] = "1", "debian"
		for n, d := range devices {
			i.ExpandedDevices[n] = maps.Clone(d)
		}
		return i
	}
	if err := Compare(fresh(), config, devices); err != nil {
		t.Fatalf("Compare of what was asked for: %v", err)
	}
	for want, change := range map[string]func(*incus.Instance){
		"member node2":        func(i *incus.Instance) { i.Away = "node2" },
		"profile":             func(i *incus.Instance) { i.Profiles = []string{"default"} },
		"raw.lxc":             func(i *incus.Instance) { i.ExpandedConfig["raw.lxc"] = "x" },
		"raw.apparmor":        func(i *incus.Instance) { i.ExpandedConfig["raw.apparmor"] = "x" },
		"raw.seccomp":         func(i *incus.Instance) { i.ExpandedConfig["raw.seccomp"] = "x" },
		"security.privileged": func(i *incus.Instance) { i.ExpandedConfig["security.privileged"] = "true" },
		"boot.autostart":      func(i *incus.Instance) { delete(i.ExpandedConfig, "boot.autostart") },
		"security.nesting":    func(i *incus.Instance) { i.ExpandedConfig["security.nesting"] = "true" },
		"device eth1":         func(i *incus.Instance) { i.ExpandedDevices["eth1"] = incus.Device{"type": "nic"} },
		"device eth0":         func(i *incus.Instance) { i.ExpandedDevices["eth0"]["nictype"] = "bridged" },
		"device eth0 is":      func(i *incus.Instance) { delete(i.ExpandedDevices, "eth0") },
		"device root":         func(i *incus.Instance) { delete(i.ExpandedDevices, "root") },
	} {
		i := fresh()
		change(&i)
		if err := Compare(i, config, devices); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compare after a change of %s = %v", want, err)
		}
	}
}

// What a container says of its user is checked before it is used.
func TestParseUser(t *testing.T) {
	u, ok := ParseUser("code:x:1000:1000:,,,:/home/code:/bin/bash")
	if !ok || u != (User{"code", 1000, "/home/code"}) {
		t.Fatalf("ParseUser = %+v, %v", u, ok)
	}
	for _, bad := range []string{
		"", "code", "code:x:1000:1000::/home/code", ":x:1000:1000::/home/code:/bin/sh", "code:x:-1:0::/home/code:/bin/sh",
		"code:x:70000:0::/home/code:/bin/sh", "code:x:abc:0::/home/code:/bin/sh", "code:x:1000:0::home/code:/bin/sh", "code:x:1000:0::/home/../etc:/bin/sh",
	} {
		if u, ok := ParseUser(bad); ok {
			t.Errorf("ParseUser(%q) = %+v", bad, u)
		}
	}
}

func FuzzParseUser(f *testing.F) {
	f.Add("code:x:1000:1000:,,,:/home/code:/bin/bash")
	f.Fuzz(func(t *testing.T, line string) {
		if u, ok := ParseUser(line); ok && (u.Home[0] != '/' || strings.Contains(u.Home, "..") || u.UID < 0 || u.Name == "") {
			t.Errorf("ParseUser(%q) = %+v", line, u)
		}
	})
}
