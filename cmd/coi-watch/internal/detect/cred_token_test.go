package detect_test

import "testing"

func TestCredToken(t *testing.T) { check(t, "cred.token") }
