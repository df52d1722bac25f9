package detect_test

import "testing"

func TestLogHistory(t *testing.T) { check(t, "log.history") }
