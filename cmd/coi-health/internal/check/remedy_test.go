package check

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

// T-H-06, R-REG-28: files of the system are changed only by the program that owns
// them and checks what it writes; no remedy gives anybody a right of root's, and
// none touches another firewall, a container or a saved session.
func TestRemediesAreHarmless(t *testing.T) {
	owners := []string{"usermod", "systemctl", "sysctl", "chmod", "coi"}
	cases := append(slices.Clone(cases), judged{"netguard", Failed, systemd("coi-netguard"), asUser}, judged{"watch", Warning, systemd("coi-watch"), asUser},
		judged{"permissions", Failed, nil, func(f *facts.Facts) {
			asUser(f)
			f.IncusErr, f.Incus = nil, facts.Incus{Reachable: true, Error: "permission denied"}
		}})
	seen := map[string]bool{}
	for _, c := range cases {
		f := fake(t, c.files, c.change)
		r := Named(c.name).Run(f)
		if r.Remedy == nil {
			continue
		}
		seen[c.name] = true
		line := strings.Join(r.Remedy.Command, " ")
		if len(r.Remedy.Command) == 0 || !slices.Contains(owners, r.Remedy.Command[0]) {
			t.Errorf("%s: %q is not a program that owns what it changes", c.name, line)
		}
		for _, word := range []string{"sudoers", "visudo", "NOPASSWD", "nft ", "iptables", "firewall-cmd", "delete", "kill", "--sessions", "setcap", "u+s"} {
			if strings.Contains(line, word) {
				t.Errorf("%s: %q is no safe remedy", c.name, line)
			}
		}
		if r.Remedy.Why == "" || r.Hint == "" {
			t.Errorf("%s: the remedy does not say why, or there is no hint for those who decline", c.name)
		}
	}
	for _, name := range []string{"netguard", "watch", "permissions", "ip_forwarding"} {
		if !seen[name] {
			t.Errorf("%s has no remedy", name)
		}
	}
}

func systemd(program string) map[string]string {
	return map[string]string{"run/systemd/system/x": "", "usr/lib/systemd/system/" + program + "@.service": "[Unit]\n"}
}

func asUser(f *facts.Facts) {
	f.Home.UID, f.Home.User = 1000, "/home/dev"
	f.Getenv = func(name string) string { return map[string]string{"USER": "dev"}[name] }
	f.IncusErr = errors.New("not here")
}

// Overlapping ranges would give two containers the same ids.
func TestOverlappingRanges(t *testing.T) {
	for text, want := range map[string]bool{
		"root:1000000:65536\nroot:1050000:10\n": true, "root:1000000:1000000000\nroot:1000:1\n": false, "root:1000000:10\nroot:1000000:10\n": false, "x\nroot:a:b\n": false,
	} {
		if a, _ := overlap(spans(text)); (a != "") != want {
			t.Errorf("overlap(%q) = %q; want %v", text, a, want)
		}
	}
}
