package detect_test

import "testing"

func TestMinerProto(t *testing.T) { check(t, "miner.proto") }
