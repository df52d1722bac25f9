package detect_test

import "testing"

func TestAuthDeny(t *testing.T) { check(t, "auth.deny") }
