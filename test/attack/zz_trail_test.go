//go:build attack

package attack

import (
	"testing"

	"github.com/code-on-incus/coi/test/internal/trail"
)

// The last test of all (files run in the order of their names): every record
// that the others made somebody write is well-formed, and every chain is whole.
func TestTrails(t *testing.T) { trail.Check(t, the.Home.Audit()) }
