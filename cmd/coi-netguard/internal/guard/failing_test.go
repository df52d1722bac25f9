package guard

import (
	"fmt"
	"testing"
	"time"
)

// TestFailingIsBounded: a container that makes up names fills neither the log
// nor the memory.
func TestFailingIsBounded(t *testing.T) {
	var f failing
	now := time.Unix(1e9, 0)
	told := 0
	for i := range 1000 {
		if f.news(fmt.Sprint(i), now) {
			told++
		}
	}
	if told != failingNames || len(f.told) != failingNames {
		t.Errorf("%d told, %d kept", told, len(f.told))
	}
	if f.news("0", now.Add(failingEvery-1)) || !f.news("0", now.Add(failingEvery)) {
		t.Error("a name is told of again after its time and not before")
	}
}
