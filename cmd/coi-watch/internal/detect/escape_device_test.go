package detect_test

import "testing"

func TestEscapeDevice(t *testing.T) { check(t, "escape.device") }
