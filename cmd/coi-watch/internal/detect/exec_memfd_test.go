package detect_test

import "testing"

func TestExecMemfd(t *testing.T) { check(t, "exec.memfd") }
