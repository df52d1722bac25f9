package detect_test

import "testing"

func TestCredKey(t *testing.T) { check(t, "cred.key") }
