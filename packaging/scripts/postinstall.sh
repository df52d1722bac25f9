#!/bin/sh
# Running guards are replaced by the new ones. Their rules stay in the kernel in
# between, so that no session is unguarded for a moment; sessions go on.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart 'coi-netguard@*.service' 'coi-watch@*.service' || true
fi
# A guard without a unit is one that a session started: the session, or the next
# one, starts the new program.
for proc in /proc/[0-9]*; do
	case $(readlink "$proc/exe" 2>/dev/null) in
	/usr/libexec/coi/coi-netguard*"(deleted)" | /usr/libexec/coi/coi-watch*"(deleted)") ;;
	*) continue ;;
	esac
	[ "$(readlink "$proc/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || kill "${proc#/proc/}" 2>/dev/null || true
done
command -v incus >/dev/null || echo "coi: sudo /usr/libexec/coi/setup makes this machine ready (Debian; elsewhere install Incus 6.0 or newer)"
