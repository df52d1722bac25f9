package guard

import (
	"net/netip"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
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
	return Settings{
		Pool4: netip.MustParsePrefix("10.213.0.0/16"), Pool6: netip.MustParsePrefix("fd63:6f69::/64"),
		Mark: 0x02000000, ManageForeign: true, LogRate: 100, NewRate: 50,
	}
}

// ReadSettings reads the user's configuration. No project has a say in it. A
// file that is wrong gives the defaults and the error: a guard that does not
// start would help nobody.
func ReadSettings(h home.Home, getenv func(string) string) (Settings, error) {
	s := Defaults()
	c, err := config.Load(config.Options{Home: h, Getenv: getenv, Lenient: true})
	if err != nil {
		return s, err
	}
	n := c.Network
	s.Pool4, s.Pool6, s.Tag, s.ManageForeign = n.Pool, n.Pool6, n.VethTag, n.ManageForeign
	if n.Mark != 0 {
		s.Mark = n.Mark
	}
	for _, u := range n.Uplinks {
		if u != "auto" {
			s.Uplinks = append(s.Uplinks, u)
		}
	}
	if r := c.Monitoring.NFT.RateLimitPerSecond; r > 0 {
		s.LogRate = r
	}
	return s, nil
}

// spare pools are tried when a route of the host overlaps the one before.
var spare4 = []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16"), netip.MustParsePrefix("10.87.0.0/16"), netip.MustParsePrefix("100.127.0.0/16")}
