package detect_test

import "testing"

func TestPersistPreload(t *testing.T) { check(t, "persist.preload") }
