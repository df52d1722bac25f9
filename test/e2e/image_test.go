//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// Session §18: what the documentation says is in the image is there and starts.
func TestImageContents(t *testing.T) {
	dir := workspace(t)
	// The first command: it comes before systemd listens.
	const look = `sudo systemctl start basic.target || echo "systemctl does not wait for the boot"
for p in git curl wget jq unzip gpg sudo tmux dig rg fzf fd bat tree strace lsof sqlite3 gcc make python3 pipx node npm gh docker close stop poweroff halt shutdown reboot claude opencode pi; do
	command -v $p >/dev/null || echo "no $p"
done
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 22 ] || echo "node is old"
for a in claude opencode pi; do $a --version >/dev/null 2>&1 || echo "$a does not start"; done
[ -s /etc/ssl/certs/ca-certificates.crt ] || echo "no certificates"
locale -a | grep -qix en_US.utf8 || echo "no locale"
[ "$(id -u) $(id -un)" = "1000 code" ] || echo "user $(id)"
for g in sudo docker; do id -nG | grep -qw $g || echo "not in group $g"; done
sudo -n true || echo "sudo asks"
for h in github.com gitlab.com bitbucket.org codeberg.org; do ssh-keygen -F $h >/dev/null || echo "host key of $h is not known"; done
for key in '"172.30.0.1/24"' '"172.31.0.0/16"'; do grep -q "$key" /etc/docker/daemon.json || echo "docker: no $key"; done
docker compose version >/dev/null || echo "no docker compose"
[ "$(systemctl is-enabled udisks2 2>/dev/null)" = masked ] || echo "udisks2 is not masked"
[ ! -d /etc/cloud ] || [ -e /etc/cloud/cloud-init.disabled ] || echo "cloud-init is on"
apt-config dump | grep -q 'ForceIPv4 "true"' || echo "apt uses IPv6"
grep -q '^q /tmp 1777 root root 10d' /etc/tmpfiles.d/tmp.conf || echo "/tmp is not cleaned by age"
grep -q 'history-limit 50000' /etc/tmux.conf || echo "tmux is not set up"
echo looked`
	if r := must(t, dir, "run", "--", "bash", "-c", look); r.Stdout != "looked\n" {
		t.Errorf("%s\nwant nothing missing", r)
	}
}

// S146, S147, session §4 accept: docker works at the first start, since what it
// needs was there before; a session without it gets none of that.
func TestDockerInside(t *testing.T) {
	dir := workspace(t)
	give(t, dir, "docker-compose.yml", "version: '3'\nservices:\n  one:\n    image: own\n    network_mode: none\n    command: [/bin/busy, said by the service]\n")
	// An image of one static program: nothing is pulled from anywhere.
	const up = `set -e
printf '#include <stdio.h>\nint main(int c, char **v) { puts(v[1]); return 0; }\n' >busy.c
mkdir -p root/bin && gcc -static -o root/bin/busy busy.c
tar -C root -c . | docker import - own >/dev/null
docker compose up`
	r := do(t, dir, "run", "--", "sh", "-c", up)
	if r.Code != 0 || !strings.Contains(r.Stdout, "said by the service") {
		t.Errorf("%s\nwant docker compose up to work", r)
	}
	for _, docker := range []string{"true", "false"} {
		configure(t, "[container]\ndocker = "+docker+"\n")
		config, _ := incusConfig(t, dir, shell(t, dir))
		for _, key := range []string{"security.nesting", "security.syscalls.intercept.mknod", "security.syscalls.intercept.setxattr"} {
			if config[key] != docker {
				t.Errorf("container.docker = %s: %s = %q", docker, key, config[key])
			}
		}
	}
}
