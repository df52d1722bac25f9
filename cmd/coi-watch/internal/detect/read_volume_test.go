package detect_test

import "testing"

func TestReadVolume(t *testing.T) { check(t, "read.volume") }
