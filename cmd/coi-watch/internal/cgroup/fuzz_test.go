package cgroup

import (
	"strings"
	"testing"
)

// FuzzMounts reads any text as a table of mounts: what comes out stood in it.
func FuzzMounts(f *testing.F) {
	f.Add("30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	f.Add("31 24 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n")
	f.Add(" - cgroup2 - \n - cgroup a b")
	f.Fuzz(func(t *testing.T, text string) {
		l := parse([]byte(text))
		if !strings.Contains(text, l.Unified) {
			t.Errorf("%q: cgroup2 at %q", text, l.Unified)
		}
		for controller, at := range l.V1 {
			if !strings.Contains(text, controller) || !strings.Contains(text, at) {
				t.Errorf("%q: %q at %q", text, controller, at)
			}
		}
	})
}
