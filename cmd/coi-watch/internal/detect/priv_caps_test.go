package detect_test

import "testing"

func TestPrivCaps(t *testing.T) { check(t, "priv.caps") }
