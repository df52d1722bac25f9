package detect_test

import "testing"

func TestExfilDns(t *testing.T) { check(t, "exfil.dns") }
