package detect_test

import "testing"

func TestLogWipe(t *testing.T) { check(t, "log.wipe") }
