#!/bin/sh
# What users keep in ~/.coi (logs, audit trails, saved sessions) is theirs: a
# purge takes away the program, its units and the links that enabled them.
set -e
case "${1:-}" in
purge | 0)
	for wants in /etc/systemd/system/*.target.wants; do
		[ ! -d "$wants" ] || rm -f "$wants"/coi-netguard@*.service "$wants"/coi-watch@*.service
	done
	;;
esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
