package detect_test

import "testing"

func TestCredScanner(t *testing.T) { check(t, "cred.scanner") }
