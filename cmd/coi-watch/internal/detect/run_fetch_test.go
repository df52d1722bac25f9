package detect_test

import "testing"

func TestRunFetch(t *testing.T) { check(t, "run.fetch") }
