package detect_test

import "testing"

func TestCredHunt(t *testing.T) { check(t, "cred.hunt") }
