package detect_test

import "testing"

func TestMinerCpu(t *testing.T) { check(t, "miner.cpu") }
