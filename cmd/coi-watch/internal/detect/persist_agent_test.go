package detect_test

import "testing"

func TestPersistAgent(t *testing.T) { check(t, "persist.agent") }
