package detect_test

import "testing"

func TestPersistAptHook(t *testing.T) { check(t, "persist.apt-hook") }
