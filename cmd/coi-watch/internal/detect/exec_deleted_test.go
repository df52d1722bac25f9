package detect_test

import "testing"

func TestExecDeleted(t *testing.T) { check(t, "exec.deleted") }
