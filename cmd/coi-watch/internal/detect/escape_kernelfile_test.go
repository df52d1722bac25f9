package detect_test

import "testing"

func TestEscapeKernelFile(t *testing.T) { check(t, "escape.kernel-file") }
