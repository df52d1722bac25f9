package detect_test

import "testing"

func TestPrivPtrace(t *testing.T) { check(t, "priv.ptrace") }
