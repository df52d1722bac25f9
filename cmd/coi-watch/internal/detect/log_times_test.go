package detect_test

import "testing"

func TestLogTimes(t *testing.T) { check(t, "log.times") }
