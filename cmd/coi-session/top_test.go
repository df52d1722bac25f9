package main

import (
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/usage"
)

// R-REG-22: counters that went back give no rate, not a huge one.
func TestRates(t *testing.T) {
	at := time.Now()
	was := usage.Counters{At: at, CPU: time.Second, Read: 1e6, Sent: 5e6}
	now := usage.Counters{At: at.Add(2 * time.Second), CPU: 4 * time.Second, Read: 3e6, Sent: 1e6, Memory: 2e6, Processes: 3}
	r := rates(was, now)
	if r.CPU != 150 || r.DiskRead != 1 || r.NetTX != 0.5 || r.Memory != 2 || r.Processes != 3 {
		t.Errorf("rates = %+v", r)
	}
	if r := rates(usage.Counters{At: at, CPU: time.Hour, Sent: 9e9}, now); r.CPU != 0 || r.NetTX != 0 {
		t.Errorf("rates after a restart = %+v", r)
	}
	if r := rates(usage.Counters{}, now); r.CPU != 0 {
		t.Errorf("first sample = %+v", r)
	}
}

func TestTopCheck(t *testing.T) {
	for name, c := range map[string]topCmd{
		"sort": {Sort: "x", Interval: 2}, "process sort": {Sort: "net", Interval: 2, Procs: true}, "interval": {Sort: "cpu", Interval: 0.1},
		"json": {Sort: "cpu", Interval: 2, JSON: true, Watch: 2},
	} {
		if err := c.check(); exitOf(err) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSortTop(t *testing.T) {
	rows := []topRow{{Name: "a", CPU: 1, Memory: 9}, {Name: "b", CPU: 5, Memory: 2}}
	if sortTop(rows, "cpu"); rows[0].Name != "b" {
		t.Error("not by cpu")
	}
	if sortTop(rows, "mem"); rows[0].Name != "a" {
		t.Error("not by memory")
	}
}
