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
		"dpkg -L coi | grep -x /usr/share/man/man1/coi-run.1.gz",
		"test -e /usr/share/bash-completion/completions/coi && bash -n /usr/share/bash-completion/completions/coi",
		"ls /usr/lib/systemd/system/coi-netguard@.service /usr/lib/systemd/system/coi-watch@.service /usr/lib/systemd/system/coi-home@.service",
		"systemd-analyze verify --man=no coi-home@dev.service coi-netguard@dev.service coi-watch@dev.service",
		"find /usr/bin/coi /usr/libexec/coi -perm /6002 -not -type l | wc -l | grep -x 0", // no setuid, nothing others may write
		// The firewall's unit runs as a user who is not root, and its rules judge an interface.
		"useradd -m dev && systemctl enable --now coi-netguard@dev && systemctl is-active coi-netguard@dev",
		"test \"$(systemctl show -p User --value coi-netguard@dev)\" = dev && grep -q '^CapEff:\t0000000000001000$' /proc/$(systemctl show -p MainPID --value coi-netguard@dev)/status",
		// The monitor's runs as well; what a container does not let it see, it says.
		"systemctl enable --now coi-watch@dev && for i in $(seq 50); do runuser -u dev -- coi watch status | grep -q '^coi-watch: running' && break; sleep 0.1; done; systemctl is-active coi-watch@dev && [ \"$(systemctl show -p NRestarts --value coi-watch@dev)\" = 0 ]",
		"cd / && runuser -u dev -- coi health; [ $? -le 2 ]",
		guardSomething,
		upgradeUnderGuard,
		// Exposure as systemd counts it, in tenths: one right, nothing else.
		"systemd-analyze security --no-pager --threshold=25 coi-netguard@dev.service > /dev/null",
	} {
		if out, err := inside(t, name, line); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	if out, err := inside(t, name, "dpkg --purge coi && find / -xdev -name 'coi*' -not -path '/proc/*' -not -path '/root/*' -not -path '/home/*' -not -path '/var/lib/dpkg/*' | sort | comm -13 /root/before -"); err != nil || strings.TrimSpace(lastLines(out)) != "" {
		t.Errorf("purge: %v; left:\n%s", err, out)
	}
}

// Two builds of one commit in two directories give the same packages, bit for bit,
// and each names what it is made of.
func TestPackageIsReproducible(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sources")
	if out, err := exec.Command("git", "clone", "-q", "--no-hardlinks", the.Root, dir).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
	defer stop()
	verify := exec.CommandContext(ctx, "tools/package", "--verify")
	verify.Dir = dir
	if out, err := verify.CombinedOutput(); err != nil {
		t.Fatalf("tools/package --verify: %v\n%s", err, out)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{".deb\n", ".rpm\n", "coi.cdx.json\n"} {
		if !strings.Contains(string(sums), kind) {
			t.Errorf("SHA256SUMS = %q; want a line that ends with %q", sums, kind)
		}
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

// guardSomething gives the guard of dev an interface to judge: a spec as a session
// would write it, and a device of that name with a neighbour behind it. The
// control is that the neighbour's packets arrive in the host's input and are
// counted as refused.
const guardSomething = `set -e
run=/home/dev/.coi/run
tag=$(jq -r .tag $run/netguard.json)
veth=coi${tag}123456789
cat > /root/spec <<X
{"schema_version":1,"generation":1,"container":"coi-1a2b3c4d-1","project":"default","veth":"$veth","phase":"policy",
 "policy":{"mode":"restricted","block_private":true,"block_metadata":true,"allowed":[],"allowed_ports":[],"dns_servers":[],"dns_qps":50,"refresh_minutes":30,"hosts":[],"connections":8192,"sni":"off","extra_addresses":[]},
 "events":{"enabled":true,"per_second":100,"dns_threshold":100,"log_dns":false}}
X
install -o dev -g dev -m 0600 /root/spec $run/.new && mv $run/.new $run/coi-1a2b3c4d-1.net.json
status=$run/coi-1a2b3c4d-1.net.status.json
for i in $(seq 100); do [ "$(jq -r .state $status 2>/dev/null)" = enforcing ] && break; sleep 0.1; done
address=$(jq -r .ipv4 $status)
ip netns add box
ip link add $veth type veth peer name eth0 netns box
ip addr add 169.254.0.1/32 dev $veth && ip link set $veth up && ip route add $address dev $veth
nsenter --net=/run/netns/box sh -ec "ip addr add $address/32 dev eth0; ip link set eth0 up; ip route add 169.254.0.1 dev eth0; ip route add default via 169.254.0.1"
python3 -m http.server --bind 169.254.0.1 8077 > /dev/null 2>&1 &
for i in $(seq 50); do curl -s -m 1 -o /dev/null http://169.254.0.1:8077 && break; sleep 0.1; done
curl -s -m 1 -o /dev/null http://169.254.0.1:8077
! nsenter --net=/run/netns/box curl -s -m 1 -o /dev/null http://169.254.0.1:8077
for i in $(seq 50); do jq -e '.denied["host.service"] > 0' $status > /dev/null && break; sleep 0.1; done
jq -e '.denied["host.service"] > 0' $status`

// upgradeUnderGuard installs the package again while the neighbour tries to reach
// a service of the host as fast as it can: not one try may succeed, and the
// guard is a new process afterwards. The control is the same try once the device
// has a name that no rule knows.
const upgradeUnderGuard = `set -e
veth=$(jq -r .veth /home/dev/.coi/run/coi-1a2b3c4d-1.net.status.json)
before=$(systemctl show -p MainPID --value coi-netguard@dev)
rm -f /root/stop /root/tries /root/reached
try() { nsenter --net=/run/netns/box curl -s -m 1 -o /dev/null http://169.254.0.1:8077; }
( while [ ! -e /root/stop ]; do
	echo >> /root/tries
	try && echo >> /root/reached
  done ) 2> /dev/null &
dpkg --force-depends -i /root/coi.deb
for i in $(seq 100); do
	now=$(systemctl show -p MainPID --value coi-netguard@dev)
	[ "$now" != "$before" ] && [ "$now" != 0 ] && systemctl is-active -q coi-netguard@dev && break
	sleep 0.1
done
[ "$now" != "$before" ]
touch /root/stop; wait $! || true
[ "$(wc -l < /root/tries)" -gt 10 ]
[ ! -e /root/reached ]
! try
# A device of another name meets no rule: the neighbour could reach it all along.
ip link set $veth down && ip link set $veth name plain0 && ip link set plain0 up
ip route replace $(jq -r .ipv4 /home/dev/.coi/run/coi-1a2b3c4d-1.net.status.json) dev plain0
for i in $(seq 50); do try && exit 0; sleep 0.1; done
exit 1`
