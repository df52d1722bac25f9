package detect_test

import "testing"

// R-LIM-02: what leaves in allowed TLS is judged by its volume.
func TestExfilVolume(t *testing.T) { check(t, "exfil.volume") }
