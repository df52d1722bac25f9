package detect_test

import "testing"

func TestExfilPipe(t *testing.T) { check(t, "exfil.pipe") }
