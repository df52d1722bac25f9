package detect_test

import "testing"

func TestPersistUdev(t *testing.T) { check(t, "persist.udev") }
