#!/bin/bash
# Makes an image of coi out of a Debian or Ubuntu root file system: packages that
# are missing, the user, the settings beside this script, the agents. Runs as
# root inside, by mmdebstrap's chroot or in a build container, and may run twice.
#
# Variables: COI_PACKAGES COI_OPTIONAL COI_NPM COI_NODE COI_REGISTRY COI_CLOUD_INIT
set -euo pipefail
# shellcheck disable=SC1091 # written by the build
. /root/coi-install.env
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
step() { echo "coi-step: $*"; }
fail() { echo "coi-fail: $*"; exit 1; }

# thrice COMMAND...: registries have bad moments.
thrice() {
	local n
	for n in 1 2 3; do
		"$@" && return
		echo "try $n of 3 failed: $*"
	done
	return 1
}

packages() {
	local missing=() p
	for p in $COI_PACKAGES; do
		dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	step "installing ${#missing[@]} packages"
	thrice apt-get update -qq || fail "package lists of the base cannot be read"
	local optional=()
	for p in $COI_OPTIONAL; do optional+=("?exact-name($p)"); done
	thrice apt-get install -y -qq --no-install-recommends "${missing[@]}" "${optional[@]}" || fail "packages cannot be installed"
	apt-get clean
	rm -rf /var/lib/apt/lists/*
}

user() {
	chmod 750 /etc/sudoers.d
	step "making the user"
	# A base may have a first user of its own on our id.
	local other
	other=$(getent passwd 1000 | cut -d: -f1) || true
	if [ -n "$other" ] && [ "$other" != code ]; then
		userdel -r "$other" 2>/dev/null || userdel "$other"
	fi
	id code >/dev/null 2>&1 || useradd -m -u 1000 -U -s /bin/bash code
	usermod -aG sudo code
	! getent group docker >/dev/null || usermod -aG docker code
	chmod 440 /etc/sudoers.d/code
	install -d -o code -g code -m 700 /home/code/.ssh
	install -d -o code -g code /home/code/.local /home/code/.local/bin /workspace
	[ -e /home/code/.ssh/known_hosts ] || install -o code -g code -m 644 /usr/local/share/coi/known_hosts /home/code/.ssh/known_hosts
	local name
	for name in fd:fdfind bat:batcat; do
		[ ! -x "/usr/bin/${name#*:}" ] || ln -sf "/usr/bin/${name#*:}" "/usr/local/bin/${name%:*}"
	done
	install -d /etc/systemd/system/sysinit.target.wants
	ln -sf ../coi-knock.path /etc/systemd/system/sysinit.target.wants/coi-knock.path
	for name in close stop poweroff halt shutdown reboot; do
		ln -sf ../libexec/coi-power "/usr/local/bin/$name"
	done
}

settings() {
	step "settings"
	update-ca-certificates >/dev/null 2>&1 || true
	if [ -e /etc/locale.gen ]; then
		sed -i 's/^# *\(en_US.UTF-8 UTF-8\)/\1/' /etc/locale.gen
		locale-gen >/dev/null 2>&1 || true
	fi
	# What a container of this kind never needs, or what only costs start time.
	local unit
	for unit in e2scrub_reap.service e2scrub_all.timer systemd-networkd-wait-online.service \
		systemd-resolved.service systemd-timesyncd.service \
		NetworkManager.service networking.service udisks2.service apt-daily.timer apt-daily-upgrade.timer \
		dpkg-db-backup.timer man-db.timer fstrim.timer motd-news.timer fwupd-refresh.timer ModemManager.service \
		multipathd.service snapd.service unattended-upgrades.service systemd-udev-trigger.service \
		systemd-udev-settle.service tmp.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
		systemd-modules-load.service systemd-remount-fs.service console-getty.service getty@tty1.service \
		container-getty@.service systemd-firstboot.service ldconfig.service systemd-update-utmp.service; do
		ln -sf /dev/null "/etc/systemd/system/$unit"
	done
	# It is there for whoever asks for it, but eth0 is none of its business.
	systemctl -q disable systemd-networkd.service systemd-networkd.socket 2>/dev/null || true
	local plugins=/usr/local/lib/docker/cli-plugins
	if [ -x /usr/bin/docker-compose ] && [ ! -L /usr/bin/docker-compose ] && [ -z "$(find /usr/libexec/docker /usr/lib/docker -name docker-compose 2>/dev/null)" ]; then
		mkdir -p $plugins
		ln -sf ../../../libexec/coi-compose $plugins/docker-compose
	fi
	# Docker comes up when somebody asks it something.
	rm -f /etc/systemd/system/multi-user.target.wants/{docker,containerd}.service
	if [ -e /usr/lib/systemd/system/docker.socket ] || [ -e /lib/systemd/system/docker.socket ]; then
		systemctl -q enable docker.socket || true
	fi
	# What the set-up of a session would do at every start (internal/gitin).
	if dpkg --compare-versions "$(git version 2>/dev/null | cut -d' ' -f3)" ge 2.31; then
		git config --system --get-all include.path | grep -qx /etc/coi/gitconfig || git config --system --add include.path /etc/coi/gitconfig
		mkdir -p /etc/coi
		: >/etc/coi/git-ready
	fi
	# Diverted, so that an upgrade of systemd leaves ours in its place.
	local init
	init=$(dpkg-query -L systemd-sysv 2>/dev/null | grep -xE '(/usr)?/sbin/init') || true
	if [ -n "$init" ] && [ -L "$init" ]; then
		dpkg-divert --quiet --local --rename --divert "$init.systemd" --add "$init"
		install -m 755 /usr/local/libexec/coi-init "$init"
	fi
	if [ "${COI_CLOUD_INIT:-0}" = 0 ] && [ -d /etc/cloud ]; then touch /etc/cloud/cloud-init.disabled; fi
}

# node makes sure of a Node that the agents accept: the distribution's if it is
# new enough, else the npm package that carries the binary.
node() {
	local major
	major=$(command node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
	[ "$major" -lt 22 ] || return 0
	step "node from npm (the distribution has $major)"
	thrice npm install -g --no-audit --no-fund --loglevel=error "$COI_NODE" || fail "npm package $COI_NODE cannot be installed from $(npm config get registry)"
	hash -r
	major=$(command node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
	[ "$major" -ge 22 ] || fail "npm package $COI_NODE gave node $major"
	thrice npm install -g --no-audit --no-fund --loglevel=error npm || fail "npm cannot be updated from $(npm config get registry)"
	hash -r
}

# agent NAME PACKAGE installs one from npm. A part that npm calls optional and could
# not fetch is no error to it, but without it a program of that name does not start.
agent() {
	# Newer npm runs no install script that is not named.
	npm install -g --no-audit --no-fund --loglevel=error --allow-scripts="$2" "$2" || return
	hash -r
	command -v "$1" >/dev/null || return 0
	mkdir -p /tmp/home && HOME=/tmp/home timeout 60 "$1" --version </dev/null >/dev/null
}

# agents: COI_NPM is "tool=package" words. Their install scripts run: two of
# them put the program in place that way.
agents() {
	local word
	for word in $COI_NPM; do
		step "agent ${word%%=*}"
		thrice agent "${word%%=*}" "${word#*=}" ||
			fail "agent ${word%%=*} (npm package ${word#*=}) cannot be installed from $(npm config get registry)"
	done
	for word in ${COI_PIPX:-}; do
		step "agent ${word%%=*}"
		thrice env PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install "${word#*=}" ||
			fail "agent ${word%%=*} (Python package ${word#*=}) cannot be installed"
	done
	npm cache clean --force >/dev/null 2>&1 || true
}

tidy() {
	rm -rf /root/coi-install.* /root/.npm /root/.cache /tmp/* /var/tmp/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/*
	: >/etc/machine-id
	rm -f /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf
	echo 'nameserver 169.254.0.1' >/etc/resolv.conf
}

[ -z "${COI_REGISTRY:-}" ] || export npm_config_registry=$COI_REGISTRY
export npm_config_cafile=/etc/ssl/certs/ca-certificates.crt npm_config_update_notifier=false
case ${1:-all} in
base) packages && user && settings ;;
agents) node && agents ;;
tidy) tidy ;;
all) packages && user && settings && node && agents && tidy ;;
*) fail "unknown part $1" ;;
esac
