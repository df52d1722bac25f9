package detect_test

import "testing"

func TestPersistRc(t *testing.T) { check(t, "persist.rc") }
