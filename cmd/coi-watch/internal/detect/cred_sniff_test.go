package detect_test

import "testing"

func TestCredSniff(t *testing.T) { check(t, "cred.sniff") }
