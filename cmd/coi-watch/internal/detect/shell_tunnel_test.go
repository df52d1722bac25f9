package detect_test

import "testing"

func TestShellTunnel(t *testing.T) { check(t, "shell.tunnel") }
