package detect_test

import "testing"

func TestPrivSurface(t *testing.T) { check(t, "priv.surface") }
