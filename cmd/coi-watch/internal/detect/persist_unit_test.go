package detect_test

import "testing"

func TestPersistUnit(t *testing.T) { check(t, "persist.unit") }
