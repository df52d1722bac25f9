package daemon

import (
	"strings"
	"testing"
)

// FuzzUsers reads any text as the list of users of a container: few and short
// names come out, and each stood in it.
func FuzzUsers(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\ncode:x:1000:1000::/home/code:/bin/bash\n")
	f.Add(strings.Repeat("a", 100) + ":x:0:0\n")
	f.Add(":::\n:::::")
	f.Fuzz(func(t *testing.T, text string) {
		u := parseUsers([]byte(text))
		if len(u) > 4096 {
			t.Errorf("%d users", len(u))
		}
		for uid, name := range u {
			if len(name) > 64 || strings.Contains(name, "\n") || !strings.Contains(text, name) {
				t.Errorf("%d is %q", uid, name)
			}
		}
	})
}
