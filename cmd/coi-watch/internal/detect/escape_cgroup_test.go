package detect_test

import "testing"

func TestEscapeCgroup(t *testing.T) { check(t, "escape.cgroup") }
