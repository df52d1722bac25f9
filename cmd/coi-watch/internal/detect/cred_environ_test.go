package detect_test

import "testing"

func TestCredEnviron(t *testing.T) { check(t, "cred.environ") }
