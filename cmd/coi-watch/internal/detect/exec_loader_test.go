package detect_test

import "testing"

func TestExecLoader(t *testing.T) { check(t, "exec.loader") }
