package detect_test

import "testing"

func TestCredMemory(t *testing.T) { check(t, "cred.memory") }
