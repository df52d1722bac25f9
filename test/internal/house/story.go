package house

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Main opens a house for the tests of a package, runs them and closes it. The
// result is the exit code of the test program; what cannot be opened or closed
// cleanly fails the run.
func Main(name string, the **House, tests func() int) int {
	h, err := Open(name)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		if h != nil && h.Dir != "" {
			_ = h.Close()
		}
		return 1
	}
	*the = h
	code := tests()
	if err := h.Close(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: clean up: %v\n", name, err)
		return 1
	}
	return code
}

// TestWorkspace is a new directory named after the test.
func (h *House) TestWorkspace(t *testing.T) string {
	t.Helper()
	dir, err := h.Workspace(strings.NewReplacer("/", "-").Replace(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Run runs coi with a deadline of five minutes.
func (h *House) Run(t *testing.T, c Call) Result {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	return h.Do(ctx, c)
}

// Must is Run that ends the test when coi fails.
func (h *House) Must(t *testing.T, c Call) Result {
	t.Helper()
	r := h.Run(t, c)
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	return r
}

// Configure replaces the user's configuration until the test ends.
func (h *House) Configure(t *testing.T, toml string) {
	t.Helper()
	if err := h.Config(toml); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Config(""); err != nil {
			t.Error(err)
		}
	})
}
