package detect_test

import "testing"

func TestPrivModule(t *testing.T) { check(t, "priv.module") }
