package detect_test

import "testing"

func TestEscapeSetns(t *testing.T) { check(t, "escape.setns") }
