#!/bin/sh
# deb calls this with "remove" or "upgrade", rpm with how many versions stay.
set -e
case "${1:-}" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now --quiet 'coi-netguard@*.service' 'coi-watch@*.service' 2>/dev/null || true
	systemctl stop 'coi-netguard@*.service' 'coi-watch@*.service' 2>/dev/null || true
fi
# A guard that a session of root started has no unit. Programs inside containers
# can have the same path, but not the same process ids.
for proc in /proc/[0-9]*; do
	case $(readlink "$proc/exe" 2>/dev/null) in
	/usr/libexec/coi/coi-netguard* | /usr/libexec/coi/coi-watch*) ;;
	*) continue ;;
	esac
	[ "$(readlink "$proc/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || kill "${proc#/proc/}" 2>/dev/null || true
done
