package detect_test

import "testing"

func TestMinerName(t *testing.T) { check(t, "miner.name") }
