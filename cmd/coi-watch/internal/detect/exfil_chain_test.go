package detect_test

import "testing"

// R-LIM-02: a secret that is read and then something sent make a chain.
func TestExfilChain(t *testing.T) { check(t, "exfil.chain") }
