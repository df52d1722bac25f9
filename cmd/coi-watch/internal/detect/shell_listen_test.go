package detect_test

import "testing"

func TestShellListen(t *testing.T) { check(t, "shell.listen") }
