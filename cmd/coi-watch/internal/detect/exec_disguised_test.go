package detect_test

import "testing"

func TestExecDisguised(t *testing.T) { check(t, "exec.disguised") }
