package detect_test

import "testing"

func TestShellNetRelay(t *testing.T) { check(t, "shell.net-relay") }
