package detect_test

import "testing"

func TestPersistMotd(t *testing.T) { check(t, "persist.motd") }
