package build

import (
	"context"
	"errors"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// OpenFence is no fence: the default network of Incus, for builds that were
// asked to run without a guard.
type OpenFence struct {
	Machines Machines
	name     string
}

// Raise answers with the nic of the default profile.
func (f *OpenFence) Raise(ctx context.Context, container string) (incus.Device, error) {
	f.name = container
	devices, err := f.Machines.DefaultDevices(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d["type"] == "nic" && d["network"] != "" {
			return incus.Device{"type": "nic", "name": "eth0", "network": d["network"]}, nil
		}
	}
	return nil, errors.New("the default Incus profile has no network")
}

// askForLease makes the container take an address and a resolver from the
// network it is on, until it stops: our images leave eth0 alone by themselves.
const askForLease = `mkdir -p /run/systemd/network
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nClientIdentifier=mac\n' >/run/systemd/network/00-coi-open.network
n=0; until systemctl is-system-running >/dev/null 2>&1 || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
udevadm trigger -s net -c add
systemctl start systemd-networkd
/lib/systemd/systemd-networkd-wait-online --interface=eth0 --ipv4 --timeout=30
awk '/^DNS=/ { sub("DNS=", "nameserver "); print }' /run/systemd/netif/leases/* >/etc/resolv.conf`

// Open gets the container an address.
func (f *OpenFence) Open(ctx context.Context) error {
	code, err := f.Machines.Exec(ctx, f.name, incus.Exec{Argv: []string{"/bin/sh", "-c", askForLease}})
	if err == nil && code != 0 {
		err = errors.New("the container got no address from the default network")
	}
	return err
}

// Drop has nothing to do.
func (*OpenFence) Drop() error { return nil }
