package guard

import (
	"net/netip"
)

// Settings are the keys of [network] that are the guard's own.
type Settings struct {
	Pool4, Pool6  netip.Prefix
	Uplinks       []string
	Mark          uint32 // one bit
	Tag           string // empty: from the user
	ManageForeign bool
	LogRate       int // kernel log messages about refused packets, a second and container
	NewRate       int // the same about new flows
}

// Defaults are the settings of an empty configuration.
func Defaults() Settings {
	return Settings{Pool4: netip.MustParsePrefix("10.213.0.0/16"), Pool6: netip.MustParsePrefix("fd63:6f69::/64"),
		Mark: 0x02000000, ManageForeign: true, LogRate: 100, NewRate: 50}
}

// spare pools are tried when a route of the host overlaps the one before.
var spare4 = []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16"), netip.MustParsePrefix("10.87.0.0/16"), netip.MustParsePrefix("100.127.0.0/16")}
