package detect_test

import "testing"

func TestStormPids(t *testing.T) { check(t, "storm.pids") }
