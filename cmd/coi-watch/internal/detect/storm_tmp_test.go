package detect_test

import "testing"

func TestStormTmp(t *testing.T) { check(t, "storm.tmp") }
