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
