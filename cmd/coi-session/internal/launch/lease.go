package launch

// askForLease makes a container on the default network of Incus take an address
// and a resolver by DHCP: our images leave eth0 alone by themselves. Both last
// until it stops, so that its next start behind the guard finds nothing of it.
const askForLease = `lease() {
	mkdir -p /run/systemd/network || return 1
	printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nClientIdentifier=mac\n' >/run/systemd/network/00-coi-eth0.network
	n=0; until systemctl show-environment >/dev/null 2>&1 || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
	udevadm trigger -s net -c add 2>/dev/null
	mount --bind /run/systemd/network/00-coi-eth0.network /etc/systemd/network/00-coi-eth0.network 2>/dev/null
	systemctl restart systemd-networkd || return 1
	/lib/systemd/systemd-networkd-wait-online --interface=eth0 --ipv4 --timeout=20 || return 1
	awk '/^DNS=/ { sub("DNS=", "nameserver "); print }' /run/systemd/netif/leases/* >/run/coi/resolv.conf
	mount --bind /run/coi/resolv.conf /etc/resolv.conf
}
lease >/dev/null 2>&1 || echo 'coi-warning eth0 got no address from the default network'
`

// lease is the part of the set-up that only a container without a guard needs.
func (s *start) lease() string {
	if !s.spec.Record.Plan.Unguarded {
		return ""
	}
	return letBoot + askForLease // the network manager comes with the boot
}
