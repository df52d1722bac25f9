package detect_test

import "testing"

func TestExfilChain(t *testing.T) { check(t, "exfil.chain") }
