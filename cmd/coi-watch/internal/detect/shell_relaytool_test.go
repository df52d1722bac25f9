package detect_test

import "testing"

func TestShellRelayTool(t *testing.T) { check(t, "shell.relay-tool") }
