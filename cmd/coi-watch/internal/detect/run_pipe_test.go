package detect_test

import "testing"

func TestRunPipe(t *testing.T) { check(t, "run.pipe") }
