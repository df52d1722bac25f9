package run

import (
	"net/netip"
	"regexp"
	"strings"
)

// probes are named PREFIXhealth-PID-a and -b.
var probes = regexp.MustCompile(`(^|-)health-[0-9]+-[ab]$`)

// IsProbe reports whether a container is one of the two that coi health makes
// and removes. Only these may have more addresses than their lease, ask for
// ProbeZone, and have their own rules damaged and repaired.
func IsProbe(container string) bool { return probes.MatchString(container) }

// Addresses that the second probe container holds besides its lease, from ranges
// that the policy closes, so that what is said to be closed has somebody who
// would answer.
const (
	ProbePrivate  = "192.168.213.2"
	ProbeCGNAT    = "100.64.213.2"
	ProbePrivate6 = "fdc0:1d5::2"
)

// ProbeSpoof is routed to the first probe container and is not its own: Incus
// lets packets with this source pass, and the guard must not.
const ProbeSpoof = "192.168.213.3"

// ProbeZone is answered by the guard itself, to probe containers alone. Of its
// names open and other have a public address, private and metadata have
// addresses that no answer may lead to; all others do not exist.
const ProbeZone = "health.coi.test"

// ProbeAddresses are the further addresses of a container, empty for all but the
// second probe container.
func ProbeAddresses(container string, ipv6 bool) []string {
	switch {
	case !IsProbe(container) || !strings.HasSuffix(container, "-b"):
		return []string{}
	case ipv6:
		return []string{ProbePrivate, ProbeCGNAT, ProbePrivate6}
	}
	return []string{ProbePrivate, ProbeCGNAT}
}

// OfProbe reports whether an address is one of those further addresses.
func OfProbe(a netip.Addr) bool {
	switch a.String() {
	case ProbePrivate, ProbeCGNAT, ProbePrivate6, ProbeSpoof:
		return true
	}
	return false
}
