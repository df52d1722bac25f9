package detect_test

import "testing"

func TestCredShadow(t *testing.T) { check(t, "cred.shadow") }
