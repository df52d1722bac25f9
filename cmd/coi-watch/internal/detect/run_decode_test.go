package detect_test

import "testing"

func TestRunDecode(t *testing.T) { check(t, "run.decode") }
