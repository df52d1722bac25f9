package detect_test

import "testing"

func TestShellInline(t *testing.T) { check(t, "shell.inline") }
