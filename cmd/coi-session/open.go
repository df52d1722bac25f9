package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// openNIC is the nic with which open mode can go on without a guard: the
// default network with the filters that Incus itself has. It is nil in other
// modes, and where there is no default network.
func (b *begin) openNIC() (incus.Device, error) {
	if b.cfg.Network.Mode != "open" {
		return nil, nil
	}
	devices, err := b.door.DefaultDevices(b.c)
	if err != nil {
		return nil, fmt.Errorf("the default Incus profile: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		d := devices[name]
		if d["type"] != "nic" || d["network"] == "" {
			continue
		}
		return incus.Device{
			"type": "nic", "name": "eth0", "network": d["network"],
			"security.mac_filtering": "true", "security.ipv4_filtering": "true", "security.port_isolation": "true",
		}, nil
	}
	return nil, nil
}
