package detect_test

import "testing"

func TestAuthFail(t *testing.T) { check(t, "auth.fail") }
