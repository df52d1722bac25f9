package detect_test

import "testing"

func TestExecPreload(t *testing.T) { check(t, "exec.preload") }
