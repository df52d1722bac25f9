//go:build attack

package attack

import (
	"fmt"
	"os"
	"testing"

	"github.com/code-on-incus/coi/test/internal/house"
)

// the is the house all attacks happen in, each in a workspace of its own.
var the *house.House

func TestMain(m *testing.M) {
	if what, ok := os.LookupEnv(weakened); ok {
		fmt.Fprintln(os.Stderr, weaken(what)) // returns only when it failed
		os.Exit(1)
	}
	os.Exit(house.Main("attack", &the, m.Run))
}

// workspace is a new directory, and what is left of its sessions goes at the end.
func workspace(t *testing.T) string { t.Helper(); return the.TestWorkspace(t) }

// do runs coi in a workspace with a deadline of five minutes.
func do(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	return the.Run(t, house.Call{Dir: dir, Args: args})
}

// must is do that ends the test when coi fails.
func must(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	return the.Must(t, house.Call{Dir: dir, Args: args})
}

// configure replaces the user's configuration until the test ends.
func configure(t *testing.T, toml string) { t.Helper(); the.Configure(t, toml) }
