package detect_test

import "testing"

func TestPrivSetuid(t *testing.T) { check(t, "priv.setuid") }
