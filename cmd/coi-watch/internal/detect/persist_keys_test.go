package detect_test

import "testing"

func TestPersistKeys(t *testing.T) { check(t, "persist.keys") }
