package detect_test

import "testing"

func TestShellDevtcp(t *testing.T) { check(t, "shell.devtcp") }
