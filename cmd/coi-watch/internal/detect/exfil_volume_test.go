package detect_test

import "testing"

func TestExfilVolume(t *testing.T) { check(t, "exfil.volume") }
