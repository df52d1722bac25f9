#!/bin/sh
# Running guards are replaced by the new ones. Their rules stay in the kernel in
# between, so that no session is unguarded for a moment; sessions go on.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart 'coi-netguard@*.service' 'coi-watch@*.service' || true
fi
command -v incus >/dev/null || echo "coi: sudo /usr/libexec/coi/setup makes this machine ready (Debian; elsewhere install Incus 6.0 or newer)"
