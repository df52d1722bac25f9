package detect_test

import "testing"

func TestShellNetStdio(t *testing.T) { check(t, "shell.net-stdio") }
