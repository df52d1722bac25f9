package detect_test

import "testing"

func TestEscapeHandle(t *testing.T) { check(t, "escape.handle") }
