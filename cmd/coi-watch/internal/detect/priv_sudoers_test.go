package detect_test

import "testing"

func TestPrivSudoers(t *testing.T) { check(t, "priv.sudoers") }
