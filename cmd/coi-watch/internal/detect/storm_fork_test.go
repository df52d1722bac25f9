package detect_test

import "testing"

func TestStormFork(t *testing.T) { check(t, "storm.fork") }
