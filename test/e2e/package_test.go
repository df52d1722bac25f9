//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// inside runs a shell line in a plain container of Incus as root.
func inside(t *testing.T, container, line string) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	out, err := exec.CommandContext(ctx, "incus", "exec", container, "--", "/bin/bash", "-c", line).CombinedOutput()
	return string(out), err
}

// The package is installed, upgraded and purged on a clean system with systemd:
// all verbs answer, the units are sound, and a purge leaves nothing of it. (What
// it depends on is not there: nothing is started.)
func TestPackage(t *testing.T) {
	build := exec.Command("make", "-s", "package")
	build.Dir = the.Root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(the.Root, "dist", "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages = %v, %v; want one deb", debs, err)
	}
	name := the.Prefix + "package"
	if out, err := exec.Command("incus", "launch", house.Image, name, "-d", "root,size=8GiB").CombinedOutput(); err != nil {
		t.Fatalf("incus launch: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("incus", "delete", "-f", name).Run() })
	f, err := os.Open(debs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	push := exec.Command("incus", "exec", name, "--", "tee", "/root/coi.deb")
	push.Stdin = f
	if err := push.Run(); err != nil {
		t.Fatal(err)
	}
	err = house.Eventually(t.Context(), 30*time.Second, func() error {
		_, err := inside(t, name, "systemctl is-system-running | grep -E 'running|degraded'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := inside(t, name, "find / -xdev -name 'coi*' -not -path '/proc/*' | sort > /root/before; dpkg --force-depends -i /root/coi.deb"); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	for _, line := range []string{
		"coi version", "for v in $(coi --list-cmds); do coi help $v > /dev/null || exit 1; done",
		"dpkg -L coi | grep -x /usr/share/man/man1/coi-run.1",
		"test -e /usr/share/bash-completion/completions/coi && bash -n /usr/share/bash-completion/completions/coi",
		"ls /usr/lib/systemd/system/coi-netguard@.service /usr/lib/systemd/system/coi-watch@.service",
		"systemd-analyze verify --man=no coi-netguard@root.service coi-watch@root.service",
		"find /usr/bin/coi /usr/libexec/coi -perm /6002 -not -type l | wc -l | grep -x 0", // no setuid, nothing others may write
		"dpkg --force-depends -i /root/coi.deb",                                           // an upgrade goes the same way
	} {
		if out, err := inside(t, name, line); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	if out, err := inside(t, name, "dpkg --purge coi && find / -xdev -name 'coi*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/lib/dpkg/*' | sort | comm -13 /root/before -"); err != nil || strings.TrimSpace(lastLines(out)) != "" {
		t.Errorf("purge: %v; left:\n%s", err, out)
	}
}

// lastLines is the output without what dpkg says of itself.
func lastLines(out string) string {
	var left []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "/") {
			left = append(left, line)
		}
	}
	return strings.Join(left, "")
}
