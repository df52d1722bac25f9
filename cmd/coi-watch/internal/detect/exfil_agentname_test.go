package detect_test

import "testing"

func TestExfilAgentName(t *testing.T) { check(t, "exfil.agent-name") }
