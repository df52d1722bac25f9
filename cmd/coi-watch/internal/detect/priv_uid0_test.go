package detect_test

import "testing"

func TestPrivUid0(t *testing.T) { check(t, "priv.uid0") }
