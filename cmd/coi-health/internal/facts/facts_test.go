package facts

import (
	"context"
	"errors"
	"testing"
)

// T-H-09: a disk that does not answer holds up its own facts and no others; what
// was known of it before stays an error.
func TestLatePart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	f := &Facts{HomeErr: errLate, IncusErr: errLate}
	collect(ctx, f,
		func() func(*Facts) { <-never; return func(f *Facts) { f.HomeErr = nil } },
		func() func(*Facts) {
			// The last fact that comes in ends the test's patience.
			return func(f *Facts) { f.IncusErr = nil; cancel() }
		},
	)
	if !errors.Is(f.HomeErr, errLate) || f.IncusErr != nil {
		t.Errorf("home: %v, Incus: %v; want the home late and Incus there", f.HomeErr, f.IncusErr)
	}
}
