package detect_test

import "testing"

func TestLogStop(t *testing.T) { check(t, "log.stop") }
