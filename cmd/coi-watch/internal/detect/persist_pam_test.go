package detect_test

import "testing"

func TestPersistPam(t *testing.T) { check(t, "persist.pam") }
