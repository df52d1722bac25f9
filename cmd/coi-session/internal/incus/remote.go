package incus

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/lxc/incus/v6/shared/cliconfig"
)

// Remote looks up a remote in the configuration of Incus' own client (INCUS_CONF,
// else ~/.config/incus) with its built-in ones, and answers with the address and
// the protocol of an image server.
func Remote(getenv func(string) string, name string) (server, protocol string, err error) {
	dir := getenv("INCUS_CONF")
	if dir == "" {
		dir = filepath.Join(getenv("HOME"), ".config", "incus")
	}
	conf := cliconfig.DefaultConfig()
	if _, err := os.Stat(filepath.Join(dir, "config.yml")); err == nil {
		if conf, err = cliconfig.LoadConfig(filepath.Join(dir, "config.yml")); err != nil {
			return "", "", fmt.Errorf("read the remotes of Incus: %w", err)
		}
	}
	r, ok := conf.Remotes[name]
	if !ok {
		return "", "", fmt.Errorf("Incus knows no remote %q: %w", name, ErrNotFound)
	}
	if r.Protocol == "" {
		r.Protocol = "incus"
	}
	return r.Addr, r.Protocol, nil
}
