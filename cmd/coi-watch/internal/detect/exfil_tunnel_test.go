package detect_test

import "testing"

func TestExfilTunnel(t *testing.T) { check(t, "exfil.tunnel") }
