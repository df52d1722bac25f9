//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// the is the house all stories live in, each in a workspace of its own.
var the *house.House

func TestMain(m *testing.M) { os.Exit(house.Main("e2e", &the, m.Run)) }

// workspace is a new directory, and what is left of its sessions goes at the end.
func workspace(t *testing.T) string { t.Helper(); return the.TestWorkspace(t) }

// do runs coi in a workspace with a deadline of five minutes.
func do(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	return the.Run(t, house.Call{Dir: dir, Args: args})
}

func doIn(t *testing.T, c house.Call) house.Result { t.Helper(); return the.Run(t, c) }

// must is do that ends the test when coi fails.
func must(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	return the.Must(t, house.Call{Dir: dir, Args: args})
}

// gone waits until no container of this run is left whose name starts like this
// after the prefix; without start, no container at all.
func gone(t *testing.T, within time.Duration, start ...string) {
	t.Helper()
	err := house.Eventually(t.Context(), within, func() error {
		names, err := the.Containers()
		for _, n := range names {
			if strings.HasPrefix(n, the.Prefix+strings.Join(start, "")) {
				err = fmt.Errorf("container %s is left", n)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
