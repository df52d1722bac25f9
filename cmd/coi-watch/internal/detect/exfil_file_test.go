package detect_test

import "testing"

func TestExfilFile(t *testing.T) { check(t, "exfil.file") }
