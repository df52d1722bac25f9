//go:build attack

package attack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// the is the house all attacks happen in, each in a workspace of its own.
var the *house.House

func TestMain(m *testing.M) {
	var err error
	if the, err = house.Open("attack"); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "attack:", err)
		if the != nil && the.Dir != "" {
			_ = the.Close()
		}
		os.Exit(1)
	}
	code := m.Run()
	if err := the.Close(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "attack: clean up:", err)
		code = 1
	}
	os.Exit(code)
}

// workspace is a new directory, and what is left of its sessions goes at the end.
func workspace(t *testing.T) string {
	t.Helper()
	dir, err := the.Workspace(strings.NewReplacer("/", "-").Replace(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// do runs coi in a workspace with a deadline of five minutes.
func do(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	return doIn(t, house.Call{Dir: dir, Args: args})
}

func doIn(t *testing.T, c house.Call) house.Result {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	return the.Do(ctx, c)
}

// must is do that ends the test when coi fails.
func must(t *testing.T, dir string, args ...string) house.Result {
	t.Helper()
	r := do(t, dir, args...)
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	return r
}

// configure replaces the user's configuration until the test ends.
func configure(t *testing.T, toml string) {
	t.Helper()
	if err := the.Config(toml); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := the.Config(""); err != nil {
			t.Error(err)
		}
	})
}
