//go:build attack

package attack

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// R-LIM-01: the kernel is shared, so what Incus and the kernel really hold of a
// running container is read back: not privileged, a range of ids of its own, a
// system call filter, no raw settings, no inherited profile, one interface.
func TestSettingsOfARunningContainer(t *testing.T) {
	a, b := launched(t, workspace(t)), launched(t, t.TempDir())
	bases := map[string]bool{}
	for _, c := range []string{a, b} {
		out, err := exec.Command("incus", "query", "/1.0/instances/"+c).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Profiles []string
			Config   map[string]string            `json:"expanded_config"`
			Devices  map[string]map[string]string `json:"expanded_devices"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"security.privileged": "false", "security.idmap.isolated": "true", "boot.autostart": "false", "security.guestapi": "false"} {
			if got.Config[key] != want {
				t.Errorf("%s: %s = %q; want %q", c, key, got.Config[key], want)
			}
		}
		for key, v := range got.Config {
			if strings.HasPrefix(key, "raw.") || strings.HasPrefix(key, "security.syscalls.allow") || strings.HasPrefix(key, "linux.kernel_modules") {
				t.Errorf("%s: %s = %q; want none", c, key, v)
			}
		}
		nics := 0
		for name, d := range got.Devices {
			switch d["type"] {
			case "nic":
				nics++
			case "disk":
			default:
				t.Errorf("%s: device %s = %v; want disks and one interface", c, name, d)
			}
		}
		if nics != 1 || len(got.Profiles) != 0 {
			t.Errorf("%s: %d interfaces, profiles %v", c, nics, got.Profiles)
		}
		kernel, err := exec.Command("incus", "exec", c, "--", "sh", "-c", "grep ^Seccomp: /proc/self/status; cat /proc/self/uid_map").Output()
		fields := strings.Fields(string(kernel))
		if err != nil || len(fields) != 5 || fields[1] != "2" || fields[3] == "0" {
			t.Fatalf("%s: the kernel says %q, %v; want a filter and a map that is not the host's", c, kernel, err)
		}
		bases[fields[3]] = true
	}
	if len(bases) != 2 {
		t.Errorf("two containers share the ids from %v on", bases)
	}
	// Positive control: the same question answers differently on the host.
	if host, err := exec.Command("cat", "/proc/self/uid_map").Output(); err != nil || bases[strings.Fields(string(host))[1]] {
		t.Errorf("the host's own map is %q, %v", host, err)
	}
}
