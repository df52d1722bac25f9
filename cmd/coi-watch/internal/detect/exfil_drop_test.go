package detect_test

import "testing"

func TestExfilDrop(t *testing.T) { check(t, "exfil.drop") }
