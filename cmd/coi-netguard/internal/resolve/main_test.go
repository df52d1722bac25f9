package resolve_test

import (
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
)

// The tests listen on ports that a guard of this machine may protect, so they
// run where no guard is.
func TestMain(m *testing.M) { lab.Main(m) }
