package detect_test

import "testing"

func TestEscapeLocked(t *testing.T) { check(t, "escape.locked") }
