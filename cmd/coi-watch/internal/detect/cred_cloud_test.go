package detect_test

import "testing"

func TestCredCloud(t *testing.T) { check(t, "cred.cloud") }
