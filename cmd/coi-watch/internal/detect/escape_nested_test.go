package detect_test

import "testing"

func TestEscapeNested(t *testing.T) { check(t, "escape.nested") }
