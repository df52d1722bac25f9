package detect_test

import "testing"

func TestShellNetFd(t *testing.T) { check(t, "shell.net-fd") }
