package detect_test

import "testing"

func TestExecShm(t *testing.T) { check(t, "exec.shm") }
