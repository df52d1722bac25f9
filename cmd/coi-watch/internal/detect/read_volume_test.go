package detect_test

import "testing"

// R-MON-07: the samples say who reads: package managers, version control and
// search are quiet at any volume.
func TestReadVolume(t *testing.T) { check(t, "read.volume") }
